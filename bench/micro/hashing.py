"""Hashes and checksums over one part."""

import hashlib
import random
from collections.abc import Sequence

import crc32c

from bench.micro.timing import Micro
from zotpy.core.hashing import new_hasher

PART_BYTES = 8 << 20
SLICE_BYTES = 256 << 10
"""How many bytes one read from a client's socket brings."""
ODD_BYTES = 16 << 10
"""How many bytes such a read brings over a link. No two of these pieces are equally long."""


def hashlib_sha256() -> Micro:
    """Return hashlib's SHA-256: the least that a push can cost."""
    part = _part()
    return Micro("sha256, hashlib", lambda: hashlib.sha256(part).digest(), len(part))


def micros() -> list[Micro]:
    """Return what is measured here."""
    part = _part()
    slices = [memoryview(part)[start : start + SLICE_BYTES] for start in range(0, PART_BYTES, SLICE_BYTES)]
    starts = range(0, PART_BYTES, ODD_BYTES)
    odd = [memoryview(part)[start : start + ODD_BYTES - start // ODD_BYTES] for start in starts]

    def ours(pieces: Sequence[bytearray | memoryview]) -> None:
        hasher = new_hasher()
        for piece in pieces:
            hasher.update(piece)
        hasher.digest()

    return [
        hashlib_sha256(),
        Micro("sha256, zotpy's hasher, 8 MiB", lambda: ours([part]), len(part)),
        Micro("sha256, zotpy's hasher, 256 KiB", lambda: ours(slices), len(part)),
        Micro("sha256, zotpy's hasher, about 16 KiB", lambda: ours(odd), sum(map(len, odd))),
        Micro("sha512, hashlib", lambda: hashlib.sha512(part).digest(), len(part)),
        Micro("crc32c", lambda: crc32c.crc32c(part), len(part)),
    ]


def _part() -> bytearray:
    return bytearray(random.Random(0).randbytes(PART_BYTES))
