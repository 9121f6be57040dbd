"""One client that pushes, moves tags, deletes and pushes again, each request at any replica.

What it does comes from a seed. Much of it falls into the moments that are dangerous: what was deleted comes back about
when its bytes go, and manifests are pushed without their blobs about when the leases of those end.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from tests.blackbox.images import IMAGE_MANIFEST
from tests.integration.ledger import Blob, Image

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    import httpx

    from tests.integration.ledger import Kept, Ledger

KIB = 1024
REPOSITORIES = ("team/app", "team/other", "apart/deep/app")
SMALL_BYTES, LARGE_BYTES, PARTS_BYTES = 2 * KIB, (70 * KIB, 200 * KIB), 5 * KIB * KIB + 100 * KIB
"""One that lives in its record, two that are one object, one of two parts of 5 MiB."""
TAGS, MOST_KEPT = 4, 8
"""Of one client."""
WITH_PARTS = 10
"""Every so manieth image has a layer of several parts."""
RETURNS = (0.8, 1.8)
"""How many graces pass before what was deleted comes back."""
TRIES, RETRY_S = 100, 0.2
CLOCK_S = 2.0
"""The store tells whole seconds: this much can be missing from a span between two of its times."""
CREATED, ACCEPTED, OK, MISSING, BUSY = (
    HTTPStatus.CREATED,
    HTTPStatus.ACCEPTED,
    HTTPStatus.OK,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
)


def blob(seed: str, size_bytes: int) -> Blob:
    """Make a blob; one seed always gives the same bytes."""
    return Blob.of(random.Random(seed).randbytes(size_bytes))


SHARED = tuple(blob(f"shared {number}", (SMALL_BYTES, *LARGE_BYTES)[number % 3]) for number in range(6))
"""Layers that images of all clients have."""


@dataclass
class Site:
    """What all clients know and write down."""

    replicas: Sequence[httpx.Client]
    """Each request goes to any of them."""
    grace_s: float
    ledger: Ledger
    counts: Counter[str]
    """How often each thing was done; written by several threads, so only about right."""


@dataclass
class Pushing:
    """The client; of its images and tags nobody else changes any."""

    site: Site
    name: str
    """Its seed."""
    _made: dict[str, tuple[str, Image]] = field(default_factory=dict)
    """Each image by its digest, and the repository it is for."""
    _returning: list[tuple[float, str]] = field(default_factory=list)
    """When an image comes back (`time.monotonic`), and which."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self._source, self._route = random.Random(self.name), random.Random(f"route of {self.name}")

    def step(self) -> None:
        """Do one thing."""
        for due in self._returning:
            if due[0] <= time.monotonic():
                self._returning.remove(due)
                self.site.counts["returned"] += 1
                self.push(*self._made[due[1]], bare=self._source.choice((True, False)))
                return
        mine = [kept for kept in self.site.ledger.all() if kept.reference in self._made]
        if not mine:
            self._push_new(self._source.choice(REPOSITORIES))
        elif len(mine) > MOST_KEPT:
            self.delete(self._source.choice(mine))
        else:
            deeds: dict[Callable[[Kept], None], int] = {
                self.push_new: 2,
                self.push_referrer: 1,
                self.push_again: 2,
                self.delete: 1,
                self.delete_tag: 1,
                self.leave_upload: 1,
            }
            (deed,) = self._source.choices(list(deeds), list(deeds.values()))
            deed(self._source.choice(mine))

    def push_new(self, _: Kept) -> None:
        """Push an image that nobody has pushed, which shares layers with others."""
        self._push_new(self._source.choice(REPOSITORIES))

    def push_referrer(self, kept: Kept) -> None:
        """Push one that refers to an image."""
        self._push_new(kept.repository, kept.image)

    def push_again(self, kept: Kept) -> None:
        """Push an image that is there, every other time without asking for its blobs."""
        self.push(kept.repository, kept.image, bare=self._source.choice((True, False)))

    def push(self, repository: str, image: Image, *, bare: bool = False) -> None:
        """Push an image as clients do, or `bare`: first without its blobs, which may be there."""
        tag = f"{self.name}-{self._source.randrange(TAGS)}"
        is_there = self.site.ledger.has(repository, image.digest)
        self.site.ledger.forget(repository, tag)
        for _ in range(TRIES):
            began = time.monotonic()
            if not bare:
                for each in image.blobs:
                    self._provide(repository, each)
            target, headers = f"/v2/{repository}/manifests/{tag}", {"Content-Type": IMAGE_MANIFEST}
            answer = self._call("PUT", target, CREATED, MISSING, content=image.manifest.content, headers=headers)
            if answer.status_code == CREATED:
                self.site.ledger.keep(repository, image, tag)
                self.site.counts["bare" if bare else "pushed"] += 1
                return
            # What a client has asked for lasts for half the grace; a blob that a manifest needs, for ever.
            lasts = not bare and time.monotonic() - began < self.site.grace_s / 2 - CLOCK_S
            assert not is_there, f"{image.digest} is in {repository}, its blobs are not: {answer.text}"
            assert not lasts, f"a blob was lost within {time.monotonic() - began} s of its push: {answer.text}"
            self.site.counts["refused"] += 1
            bare = False
        pytest.fail(f"{image.digest} was refused {TRIES} times")

    def delete(self, kept: Kept) -> None:
        """Delete an image by its digest, and sometimes a blob that only it had; it may come back."""
        repository, image = kept.repository, kept.image
        self.site.ledger.forget(repository, image.digest)
        self._call("DELETE", f"/v2/{repository}/manifests/{image.digest}", ACCEPTED, again=MISSING)
        self._call("GET", f"/v2/{repository}/manifests/{image.digest}", MISSING)
        if self._source.choice((True, False)):
            target = f"/v2/{repository}/blobs/{image.blobs[1].digest}"
            self._call("DELETE", target, ACCEPTED, MISSING)  # a collector may have been faster
            self._call("HEAD", target, MISSING)
        self.site.counts["deleted"] += 1
        if self._source.choice((True, True, False)):
            after_s = self._source.uniform(*RETURNS) * self.site.grace_s
            self._returning.append((time.monotonic() + after_s, image.digest))

    def delete_tag(self, kept: Kept) -> None:
        """Delete a tag of the image's repository, if there is one of the client's; its image stays."""
        named = [one for one in self.site.ledger.all() if one.reference.startswith(f"{self.name}-")]
        tags = [one for one in named if one.repository == kept.repository]
        if tags:
            tag = self._source.choice(tags)
            self.site.ledger.forget(tag.repository, tag.reference)
            self._call("DELETE", f"/v2/{tag.repository}/manifests/{tag.reference}", ACCEPTED, again=MISSING)
            self._call("GET", f"/v2/{tag.repository}/manifests/{tag.reference}", MISSING)
            self.site.counts["tags deleted"] += 1

    def leave_upload(self, kept: Kept) -> None:
        """Begin an upload, now and then one of several parts, and forget about it."""
        begun = self._call("POST", f"/v2/{kept.repository}/blobs/uploads/", ACCEPTED)
        content = bytes(self._source.choice((PARTS_BYTES, SMALL_BYTES, SMALL_BYTES)))
        done = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        self._call("PATCH", begun.headers["Location"], ACCEPTED, again=done, content=content)
        self.site.counts["left"] += 1

    def _push_new(self, repository: str, subject: Image | None = None) -> None:
        number, source = len(self._made), self._source
        length = PARTS_BYTES if number % WITH_PARTS == 0 else source.choice(LARGE_BYTES)
        own = blob(f"layer {self.name} {number}", length)
        config = blob(f"configuration {self.name} {number}", SMALL_BYTES)
        image = Image.of((config, own, *source.sample(SHARED, 2)), subject)
        self._made[image.digest] = repository, image
        self.push(repository, image)

    def _provide(self, repository: str, wanted: Blob) -> None:
        """Have a blob in the repository: it is there, or is mounted, or pushed."""
        needing = self.site.ledger.needing(repository, wanted)
        if self._call("HEAD", f"/v2/{repository}/blobs/{wanted.digest}", OK, MISSING).status_code == OK:
            self.site.counts["found"] += 1
            return
        is_needed = needing is not None and self.site.ledger.holds(needing)
        assert not is_needed, f"{wanted.digest} is missing in {repository}"
        uploads = f"/v2/{repository}/blobs/uploads/"
        other = self._source.choice([other for other in REPOSITORIES if other != repository])
        mounted = self._call("POST", uploads, CREATED, ACCEPTED, params={"mount": wanted.digest, "from": other})
        if mounted.status_code == CREATED:
            self.site.counts["mounted"] += 1
            return
        self._call("POST", uploads, CREATED, params={"digest": wanted.digest}, content=wanted.content)
        self.site.counts["blobs"] += 1

    def _call(self, method: str, target: str, *expected: int, again: int | None = None, **body: Any) -> httpx.Response:
        """Ask any replica, and again if the store was too slow: then an answer may say that it was done already."""
        answer = self._route.choice(self.site.replicas).request(method, target, **body)
        allowed: set[int | None] = {*expected}
        for _ in range(TRIES):
            if answer.status_code != BUSY:
                break
            self.site.counts["busy"] += 1
            time.sleep(RETRY_S)
            answer = self._route.choice(self.site.replicas).request(method, target, **body)
            allowed = {*expected, again}
        assert answer.status_code in allowed, f"{method} {target}: {answer.status_code} {answer.text}"
        return answer
