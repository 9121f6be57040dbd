"""Whether an object is made of exactly the parts that were named: what the answer to CompleteMultipartUpload proves.

Two replicas may complete one multipart with different last parts. S3 refuses the second completion. SeaweedFS and moto
answer it with 200, as if it had succeeded, while the object holds the parts of the first. Their answer gives them away:
its ETag is the MD5 of the MD5s of the parts in the object, so it says whether they are ours. A CRC could not do this,
because a client can make two parts with one CRC.

If ETags are not MD5s (on AWS with SSE-KMS, for example), the store must refuse the second completion. zotpy tests both
once at start.
"""

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from zotpy.store.interface import ContentRejected, Part

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True, slots=True)
class Completions:
    """What a probe saw of the store's answers to completions; `False` means: do not rely on it."""

    etag_proves: bool = False
    """The ETag of the object is computed from the MD5s of its parts."""
    others_refused: bool = False
    """The store refuses a completion that names another part than it has, before and after one that succeeded."""

    def verify(self, parts: Sequence[Part], etag: str) -> bool:
        """Say whether the answer to a completion proves that the object is made of `parts`; `False`: read it back.

        Raises `ContentRejected` if it proves the contrary.
        """
        if etag_matches(parts, etag):
            return True
        if self.etag_proves and _digests(parts) is not None:
            msg = f"the object was completed with other parts than those of this upload: its ETag is {etag}"
            raise ContentRejected(msg)
        return self.others_refused


def etag_matches(parts: Sequence[Part], etag: str) -> bool:
    """Say whether the ETag of an object is the MD5 of the MD5s of these parts."""
    digests = _digests(parts)
    if digests is None:
        return False
    joined = hashlib.md5(binascii.unhexlify(digests), usedforsecurity=False).hexdigest()
    return etag.strip('"') == f"{joined}-{len(parts)}"


def complete_document(parts: Sequence[Part]) -> bytes:
    """Write the document of CompleteMultipartUpload."""
    items = "".join(
        f"<Part>{_checksum(part)}<ETag>{escape(part.etag)}</ETag><PartNumber>{part.number}</PartNumber></Part>"
        for part in parts
    )
    return f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()


def _checksum(part: Part) -> str:
    return f"<ChecksumCRC32C>{part.crc32c}</ChecksumCRC32C>" if part.crc32c else ""


def _digests(parts: Sequence[Part]) -> str | None:
    """Join the MD5s of the parts; `None` if an ETag does not even look like one."""
    digests = [match[1] for part in parts if (match := _MD5.fullmatch(part.etag))]
    return "".join(digests) if len(digests) == len(parts) else None
