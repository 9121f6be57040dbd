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
                if number % EACH == EACH - 1:
                    self._delete(client, *self.images[source.randrange(len(self.images))])

    def _push(self, client: httpx.Client, repository: str, image: Image) -> None:
        for blob in image.blobs:
            push_blob(client, repository, blob.content)
        for reference in ("v1", image.digest):
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

    @classmethod
    def by(cls, clients: list[Pushing]) -> Acknowledged:
        """Take note of it. A deletion that is under way is in neither."""
        images = tuple(pushed for client in clients for pushed in tuple(client.images))
        return cls(images, tuple(gone for client in clients for gone in tuple(client.deleted)))

    def lost(self, url: str, later: Acknowledged) -> list[str]:
        """Say what of it the registry at this address has not, or has again; what was deleted `later` may be gone."""
        maybe_gone = {repository for repository, _ in later.deleted}
        lost = []
        with http_client(url) as client:
            for repository, image in self.images:
                if repository in maybe_gone:
                    continue
                try:
                    found: object = pulled_blobs(client, repository, "v1")
                except httpx.HTTPStatusError as error:
                    found = f"{error.request.url}: {error.response.status_code} {error.response.text}"
                if found != image.sizes:
                    lost.append(f"{repository}: {found}")
            for repository, image in self.deleted:
                answer = client.get(f"/v2/{repository}/manifests/{image.digest}")
                if answer.status_code != httpx.codes.NOT_FOUND:
                    lost.append(f"{repository} is back: {answer.status_code}")
        return lost
