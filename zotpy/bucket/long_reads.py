"""Objects that are mostly short and may be long: manifests, tags, records.

The store tells the length of an object with its first bytes. So the beginning is read first, which mostly is all of it:
one call. A longer object is read again as a whole, once the replica has memory for it.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from zotpy.core.errors import Unavailable
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.store.interface import Fetched, Store

BEGINNING_BYTES = INLINE_LIMIT_BYTES + 4 * 1024
"""The record of a small blob fits into it, and so does the header of any record or tag."""
ATTEMPTS = 8

Read = Callable[[str], Awaitable[Fetched | None]]
"""Reads an object by its key, all of it or its beginning; `None`: it does not exist."""


class Room(Protocol):
    """What one request holds in memory until it is answered."""

    async def hold(self, size_bytes: int) -> None:
        """Wait until this much more may be held. Raises `TooManyRequests` if that takes too long."""
        ...


def beginnings(store: Store) -> Read:
    """Return a reader of no more than the beginning of an object."""
    return partial(store.find, most_bytes=BEGINNING_BYTES)


def whole(store: Store, room: Room | None) -> Read:
    """Return a reader of whole objects that waits for memory for long ones. Without a `room` it waits for none."""

    async def read(key: str) -> Fetched | None:
        if room is None:
            return await store.find(key)
        most_bytes = BEGINNING_BYTES
        held_bytes = 0
        for _ in range(ATTEMPTS):
            fetched = await store.find(key, most_bytes=most_bytes)
            if fetched is None or fetched.total_bytes is None:
                return fetched
            most_bytes = fetched.total_bytes
            if most_bytes > held_bytes:
                await room.hold(most_bytes - held_bytes)
                held_bytes = most_bytes
        msg = "an object grows faster than it can be read: try again"
        raise Unavailable(msg)

    return read
