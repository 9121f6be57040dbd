"""Tags, as they are written: each holds the whole manifest that it names."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.framing import FramingError, framed, unframe
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import ManifestValue, mirrored_field, read_time


@dataclass(frozen=True, slots=True)
class TagValue:
    """What a tag says: the whole manifest that it names. `nonce` makes every push of a tag a different object."""

    digest: Digest
    manifest: ManifestValue
    nonce: str
    until: datetime | None = None
    """By when it had to be written; `None`: at any time."""

    def encode(self) -> bytes | Pieces:
        """Write the tag."""
        header: dict[str, Any] = {"v": 1, "type": self.manifest.media_type, "digest": str(self.digest)}
        header |= {"nonce": self.nonce} | mirrored_field(self.manifest)
        if self.until is not None:
            header["until"] = self.until.timestamp()
        return framed(header, self.manifest.content)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a tag. Raises `FramingError`."""
        header, body = unframe(value)
        media_type, digest = header.get("type"), header.get("digest")
        if not isinstance(media_type, str) or not isinstance(digest, str):
            msg = "a tag does not name a manifest"
            raise FramingError(msg)
        try:
            manifest = ManifestValue(media_type, body, header.get("mirrored") is True)
            nonce = str(header.get("nonce", ""))
            return cls(Digest.parse(digest), manifest, nonce, read_time(header.get("until")))
        except DigestInvalid as error:
            msg = "a tag names something that is not a digest"
            raise FramingError(msg) from error
