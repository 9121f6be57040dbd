"""The checksum that is sent with a body, so that the store can see that it received the same bytes."""

import hashlib
from binascii import b2a_base64

import crc32c
import trio

from zotpy.core.pieces import Pieces
from zotpy.http.client.outgoing import Body
from zotpy.s3.wire import signing

CRC_THREAD_BYTES, MD5_THREAD_BYTES = 16 * 1024 * 1024, 1024 * 1024
"""A thread computes the checksum of more bytes than this, but for those that are part of a CRC already. Of 8 MiB the
processor computes a CRC in 0.5 ms, which is no longer than a turn of the event loop for the thread's answer takes."""
CRC32C_HEADER = "x-amz-checksum-crc32c"
MD5_HEADER = "content-md5"
"""Every service knows this header. Those that refuse the other one check this."""


async def checksum_of(body: Body, header: str) -> str:
    """Compute the value of one of the two headers. A thread computes that of a long body."""
    left_bytes = len(body)
    if header == CRC32C_HEADER:
        compute, most_bytes = _crc32c, CRC_THREAD_BYTES
        if isinstance(body, Pieces):
            left_bytes = body.unsummed_bytes
    else:
        compute, most_bytes = _md5, MD5_THREAD_BYTES
    digest = await trio.to_thread.run_sync(compute, body) if left_bytes > most_bytes else compute(body)
    return b2a_base64(digest, newline=False).decode()


def sha256_of(body: Body) -> str:
    """Return the digest with which a body is signed."""
    return hashlib.sha256(bytes(body)).hexdigest() if body else signing.EMPTY_SHA256


def _crc32c(body: Body) -> bytes:
    value = body.crc32c() if isinstance(body, Pieces) else crc32c.crc32c(body)
    return value.to_bytes(4, "big")


def _md5(body: Body) -> bytes:
    value = hashlib.md5(usedforsecurity=False)
    for piece in body.blocks() if isinstance(body, Pieces) else (body,):
        value.update(piece)
    return value.digest()
