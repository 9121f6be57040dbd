"""A store on this machine's disk whose writes are on the disk before they return."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from zotpy.store.interface import Store, StoreRefused
from zotpy.store.wrapper import StoreWrapper

T = TypeVar("T")

SYNCED = frozenset({"put", "delete", "delete_many", "put_part", "complete_multipart"})
"""These calls need no sync.

A multipart that was only begun holds nothing. If a power cut undoes an abort, the collector repeats it. zotpy does sync
a part, not only the completion, because an upload's state names it, and must never outlive it. It syncs deletes,
because a collector deletes in an order: an entry must never come back after its data was deleted.
"""


class SyncedStore(StoreWrapper):
    """Waits after each write until it is on the disk."""

    def __init__(self, store: Store, sync: Callable[[], Awaitable[None]]) -> None:
        """`sync` returns when everything written before is on the disk, and raises `OSError` if it is not."""
        super().__init__(store)
        self._sync = sync

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation. A write returns when a power cut cannot undo it."""
        del key
        result = await run()
        if operation in SYNCED:
            try:
                await self._sync()
            except OSError as error:
                msg = f"{operation}: the disk did not store what was written ({error.strerror}): check it, then restart"
                raise StoreRefused(msg) from error
        return result
