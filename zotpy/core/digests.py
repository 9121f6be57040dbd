"""Digests of content (OCI image spec, *Descriptors*: digests), of the registered algorithms sha256 and sha512."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from zotpy.core.errors import DigestInvalid
from zotpy.core.quick import quickly_made

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
"""The algorithms accepted, each with the length of its digest in hexadecimal digits."""

_LONGEST = 300
"""The length is checked before the grammar, which takes memory for each character. Accepted digests have at most 135.
"""
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)
_HEX = re.compile(r"[a-f0-9]+", re.ASCII)


@quickly_made
@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`<algorithm>:<hex>`, the name of content."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `text`; raises `DigestInvalid` for bad grammar, an unknown algorithm or a wrong length."""
        detail = {"digest": text[:300]}
        if len(text) > _LONGEST or not _GRAMMAR.fullmatch(text):
            msg = f"{text[:300]!r} is not a digest: write it as sha256:<64 hexadecimal digits>"
            raise DigestInvalid(msg, detail=detail)
        algorithm, _, encoded = text.partition(":")
        length = HEX_LENGTHS.get(algorithm)
        if length is None:
            msg = f"the digest algorithm {algorithm[:40]!r} is not supported: use sha256 or sha512"
            raise DigestInvalid(msg, detail=detail)
        if len(encoded) != length or not _HEX.fullmatch(encoded):
            msg = f"{text[:300]!r} is not a digest: {algorithm} takes {length} lower-case hexadecimal digits"
            raise DigestInvalid(msg, detail=detail)
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Self:
        """Compute the digest of `content`."""
        return cls(algorithm, hashlib.new(algorithm, content, usedforsecurity=False).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_algorithm(text: str) -> str:
    """Check the name of a digest algorithm (`?digest-algorithm=`); raises `DigestInvalid`."""
    if text not in HEX_LENGTHS:
        msg = f"the digest algorithm {text[:40]!r} is not supported: use sha256 or sha512"
        raise DigestInvalid(msg, detail={"algorithm": text[:40]})
    return text
