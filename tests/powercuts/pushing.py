"""A client that pushes images one after another, and writes down what was acknowledged."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.blackbox.images import IMAGE_MANIFEST
from tests.blackbox.registry_api import http_client, pulled_blobs, push_blob
from tests.integration.ledger import Blob, Image

if TYPE_CHECKING:
    from threading import Event

KIB = 1024
SIZES_BYTES = (2 * KIB, 100 * KIB, 300 * KIB)
MOVED_BYTES = (KIB, 2 * KIB)
LARGE_BYTES, EACH = 9 * KIB * KIB, 8
"""A blob of two parts; every so manieth image has one."""
MOST_IMAGES = 10_000


@dataclass
class Pushing:
    """The client; of its repositories nobody else changes any."""

    url: str
    name: str
    images: list[tuple[str, Image]] = field(default_factory=list)
    """Repository and image of each acknowledged push, the oldest first; the tag is always `v1`."""
    deleted: list[tuple[str, Image]] = field(default_factory=list)
    """Those whose deletion was acknowledged."""
    moves: list[Image] = field(default_factory=list)
    """What the tag `latest` of one repository was moved to, the last move perhaps under way."""
    moved: int = 0
    """How many of those were acknowledged."""

    def run(self, enough: Event, may_push: Event) -> None:
        """Push until it is enough, while it may, each image to a repository of its own; now and then delete one."""
        source = random.Random(self.name)
        with http_client(self.url) as client:
            for number in range(MOST_IMAGES):
                may_push.wait()
                if enough.is_set():
                    return
                repository = f"{self.name}/app{number}"
                sizes = [*SIZES_BYTES, LARGE_BYTES] if number % EACH == 0 else SIZES_BYTES
                image = Image.of(tuple(Blob.of(source.randbytes(size)) for size in sizes), None)
                self._push(client, repository, image)
                self.images.append((repository, image))
                self._move(client, Image.of(tuple(Blob.of(source.randbytes(size)) for size in MOVED_BYTES), None))
                if number % EACH == EACH - 1:
                    self._delete(client, *self.images[source.randrange(len(self.images))])

    @property
    def moving(self) -> str:
        """The repository whose tag `latest` moves."""
        return f"{self.name}/moving"

    def _move(self, client: httpx.Client, image: Image) -> None:
        self.moves.append(image)
        self._push(client, self.moving, image, "latest")
        self.moved = len(self.moves)

    def _push(self, client: httpx.Client, repository: str, image: Image, tag: str = "v1") -> None:
        for blob in image.blobs:
            push_blob(client, repository, blob.content)
        for reference in (tag, image.digest):
            path = f"/v2/{repository}/manifests/{reference}"
            answer = client.put(path, content=image.manifest.content, headers={"Content-Type": IMAGE_MANIFEST})
            assert answer.status_code == httpx.codes.CREATED, answer.text

    def _delete(self, client: httpx.Client, repository: str, image: Image) -> None:
        self.images.remove((repository, image))
        answer = client.delete(f"/v2/{repository}/manifests/{image.digest}")
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        self.deleted.append((repository, image))


@dataclass(frozen=True)
class Acknowledged:
    """What was acknowledged at one moment."""

    images: tuple[tuple[str, Image], ...]
    deleted: tuple[tuple[str, Image], ...]
    moved: tuple[tuple[Pushing, int], ...]
    """How often each client had moved its tag."""

    @classmethod
    def by(cls, clients: list[Pushing]) -> Acknowledged:
        """Take note of it. A deletion that is under way is in neither."""
        moved = tuple((client, client.moved) for client in clients)
        images = tuple(pushed for client in clients for pushed in tuple(client.images))
        return cls(images, tuple(gone for client in clients for gone in tuple(client.deleted)), moved)

    def lost(self, url: str, later: Acknowledged) -> list[str]:
        """Say what of it the registry at this address has not, or has again; what was deleted `later` may be gone."""
        maybe_gone = {repository for repository, _ in later.deleted}
        lost = []
        with http_client(url) as client:
            for repository, image in self.images:
                found = _found(client, repository, "v1")
                if repository not in maybe_gone and found != image.sizes:
                    lost.append(f"{repository}: {found}")
            for repository, image in self.deleted:
                answer = client.get(f"/v2/{repository}/manifests/{image.digest}")
                if answer.status_code != httpx.codes.NOT_FOUND:
                    lost.append(f"{repository} is back: {answer.status_code}")
            for pushing, count in self.moved:
                found = _found(client, pushing.moving, "latest")
                if count and found not in [image.sizes for image in pushing.moves[count - 1 :]]:
                    lost.append(f"{pushing.moving}: {found}")
        return lost


def _found(client: httpx.Client, repository: str, reference: str) -> dict[str, int] | str:
    """Pull an image, or say why not."""
    try:
        return pulled_blobs(client, repository, reference)
    except httpx.HTTPStatusError as error:
        return f"{error.request.url}: {error.response.status_code} {error.response.text}"
