"""Hashing bytes in memory, and those of an object in the store."""

from collections.abc import Callable

import structlog
import trio

from zotpy.core.digests import Digest
from zotpy.core.hashing import Hasher, new_hasher, trouble
from zotpy.core.pieces import Pieces
from zotpy.core.units import KIB
from zotpy.store.interface import Store

THREAD_LIMIT_BYTES = 128 * KIB
"""Fewer bytes than this are hashed on the spot: passing them to a thread would cost more."""

log = structlog.get_logger()


async def prepare_hashing() -> None:
    """Load the hash library before a request needs it, and say if it lacks something."""
    if (reason := await trio.to_thread.run_sync(trouble)) is not None:
        log.warning(
            "hash_states_stay_here",
            reason=reason,
            effect="blobs that are pushed in several requests are read back from the store before they are accepted",
            metric="zotpy_blobs_read_back_total",
        )


async def hash_pieces(hasher: Hasher, pieces: Pieces, skip_bytes: int = 0) -> None:
    """Hash all but the first `skip_bytes`, in a thread, or on the spot if that is cheaper."""

    def update() -> None:
        for piece in pieces.after(skip_bytes):
            hasher.update(piece)

    if len(pieces) < THREAD_LIMIT_BYTES:
        update()
    else:
        await trio.to_thread.run_sync(update)


async def digest_of_stored(
    store: Store, key: str, size_bytes: int, algorithm: str, advance: Callable[[int], None] = lambda _: None
) -> Digest:
    """Read an object and return its digest. `advance` is called with how many more bytes came. Raises `StoreError`."""
    hasher = new_hasher(algorithm)
    async with store.open(key, 0, size_bytes) as chunks:
        async for chunk in chunks:
            await hash_pieces(hasher, Pieces(chunk))
            advance(len(chunk))
    return hasher.digest()
