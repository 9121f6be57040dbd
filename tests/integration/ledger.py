"""What was acknowledged and not deleted: all that the registry must still have, whatever collectors do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from tests.blackbox.images import IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST
from tests.blackbox.registry_api import digest_of

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of a blob, and their digest, by which blobs are compared."""

    content: bytes = field(compare=False, repr=False)
    digest: str

    @classmethod
    def of(cls, content: bytes) -> Blob:
        """Make it of its bytes."""
        return cls(content, digest_of(content))

    def described(self, media_type: str) -> dict[str, object]:
        """Return its descriptor."""
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its configuration first, then its layers."""

    blobs: tuple[Blob, ...]
    manifest: Blob
    subject: str | None

    @classmethod
    def of(cls, blobs: tuple[Blob, ...], subject: Image | None) -> Image:
        """Make the image of these blobs, which may refer to another one."""
        config, *layers = blobs
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": config.described(IMAGE_CONFIG),
            "layers": [layer.described(IMAGE_LAYER) for layer in layers],
        }
        if subject is not None:
            document["subject"] = subject.manifest.described(IMAGE_MANIFEST)
        manifest = Blob.of(json.dumps(document).encode())
        return cls(blobs, manifest, None if subject is None else subject.manifest.digest)

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return self.manifest.digest

    @property
    def sizes(self) -> dict[str, int]:
        """The length of all that a pull brings, by digest."""
        return {blob.digest: len(blob.content) for blob in (self.manifest, *self.blobs)}


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An image that a reference leads to from one acknowledgement on: each one is an object of its own."""

    repository: str
    reference: str
    image: Image


@dataclass
class Ledger:
    """What all clients have pushed. Of each image and of each tag one client alone pushes and deletes."""

    _kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def keep(self, repository: str, image: Image, tag: str) -> None:
        """Write down an image whose push was acknowledged."""
        with self._lock:
            self._kept.setdefault((repository, image.digest), Kept(repository, image.digest, image))
            self._kept[repository, tag] = Kept(repository, tag, image)

    def forget(self, repository: str, reference: str) -> None:
        """Cross out what a request is about to change: a tag, or a manifest with all of its tags."""
        with self._lock:
            names = [
                (kept.repository, kept.reference)
                for kept in self._kept.values()
                if kept.repository == repository and reference in {kept.reference, kept.image.digest}
            ]
            for name in names:
                del self._kept[name]

    def holds(self, kept: Kept) -> bool:
        """Whether this is still so, without any change since."""
        with self._lock:
            return self._kept.get((kept.repository, kept.reference)) is kept

    def has(self, repository: str, reference: str) -> bool:
        """Whether the reference leads to an image."""
        with self._lock:
            return (repository, reference) in self._kept

    def all(self) -> list[Kept]:
        """Return all that must be there, in the order in which it came."""
        with self._lock:
            return list(self._kept.values())

    def some(self, source: random.Random) -> Kept | None:
        """Return any of it, if there is anything."""
        kept = self.all()
        return source.choice(kept) if kept else None

    def needing(self, repository: str, blob: Blob) -> Kept | None:
        """Return an image of this repository that needs a blob, if there is one."""
        kept = (one for one in self.all() if one.repository == repository and blob in one.image.blobs)
        return next(kept, None)
