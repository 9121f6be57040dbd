"""A blob that is passed on to those who read behind its copy, and is not kept, because the store is full.

The bytes are hashed all the same, so no reader gets the last one before all are known to be right. What the window has
no more, a reader asks of the upstream itself (`copy_reading.py`).
"""

import trio

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.hashing import new_hasher
from zotpy.mirror.blob_source import BlobSource
from zotpy.mirror.copying import Copy


async def pass_on(source: BlobSource, copy: Copy, digest: Digest) -> bool:
    """Offer all bytes to the readers, and say whether somebody read them to the end.

    Raises `UpstreamError`, and `DigestInvalid` if the bytes are others.
    """
    hasher = new_hasher(digest.algorithm)
    try:
        copy.begin((await source.open()).length)
        async for piece in source:
            await trio.to_thread.run_sync(hasher.update, piece)
            if copy.is_left_alone:
                return False
    finally:
        with trio.CancelScope(shield=True):
            await source.close()
    if hasher.digest() != digest:
        msg = f"the upstream sends other bytes than those of {digest}"
        raise DigestInvalid(msg)
    copy.size_bytes = copy.window.end
    copy.confirm()
    return True
