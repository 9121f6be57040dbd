"""A store that repeats its calls while a client waits; see `zotpy.store.holds`.

It is above the retries of the S3 client, which take seconds, and does not know them: it repeats what failed with
`StoreUnavailable`. Every operation may be repeated. An earlier attempt may have done a conditional write or a
completion already; then the object tells.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

from zotpy.store.holds import insist, is_patient
from zotpy.store.interface import (
    Body,
    KeyMissing,
    Part,
    Running,
    Store,
    Stored,
    StoreError,
    StoreUnavailable,
)
from zotpy.store.own_writes import own_write
from zotpy.store.wrapper import StoreWrapper

T = TypeVar("T")


class HeldStore(StoreWrapper):
    """Repeats operations on `store` with the patience of the request under way."""

    def call(self, operation: str, key: str, run: Callable[[], Running[T]]) -> Running[T]:
        """Run one operation, and repeat it if it fails for the moment."""
        del key
        return insist(operation, run)

    def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Running[Stored]:
        """See `Store`.

        If a condition fails because an earlier attempt wrote this very body, the write has succeeded.
        """
        run = partial(self.store.put, key, body, if_none_match=if_none_match, if_match=if_match)
        is_conditional = if_none_match or if_match is not None
        return insist("put", run, partial(own_write, self, key, body) if is_conditional else None)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """See `Store`.

        If an earlier attempt completed the multipart, nothing proves of which parts: `verified` is false.
        """
        run = partial(self.store.complete_multipart, key, multipart_id, parts)
        return await insist("complete_multipart", run, partial(self._completed, key))

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Store`. If a stream breaks off, it continues from the byte reached, so `key` must never change."""
        async with AsyncExitStack() as stack:
            stream = _HeldStream(self.store, stack, key, start, end)
            await insist("open", stream.connect)
            yield stream

    async def _completed(self, key: str, error: StoreError) -> Stored:
        """Find the object that an earlier attempt made of a multipart that does not exist any more."""
        if not isinstance(error, KeyMissing):
            raise error
        listing = await self.list(key, limit=1)
        for found in listing.objects:
            if found.key == key:
                return Stored(found.etag, listing.store_time, verified=False)
        raise error


class _HeldStream:
    """The bytes `start` to `end` of an object, over as many streams as it takes."""

    def __init__(self, store: Store, stack: AsyncExitStack, key: str, start: int, end: int) -> None:
        self._store = store
        self._stack = stack
        self._key = key
        self._at = start
        self._end = end
        self._is_open = False
        self._chunks: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StoreUnavailable:
            if not is_patient():
                raise
            chunk = await insist("read", self._go_on)
        self._at += len(chunk)
        return chunk

    async def connect(self) -> None:
        """Open a stream at the byte reached, in place of the one before."""
        await self._stack.aclose()
        opened = self._store.open(self._key, self._at, self._end)
        self._chunks = await self._stack.enter_async_context(opened)

    async def _go_on(self) -> bytes:
        await self.connect()
        return await anext(self._chunks)
