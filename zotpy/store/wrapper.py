"""What all stores that stand in front of another store have in common."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

from zotpy.store.interface import (
    Body,
    Features,
    Fetched,
    Listing,
    MultipartListing,
    MultipartMarker,
    Part,
    Running,
    Store,
    Stored,
)

T = TypeVar("T")
_OPERATIONS = (
    *("get", "find", "open", "put", "delete", "delete_many", "list", "create_multipart", "put_part"),
    *("complete_multipart", "abort_multipart", "list_multiparts"),
)


class StoreWrapper:
    """Hands every operation to the store within; a subclass says in `call` and `read` what happens around it.

    A subclass without a `call` of its own changes only the operations that it overrides. The others are those of the
    store within, without a frame between: every wait in a call passes through all of its frames. For the same reason
    the methods here are no coroutines, and return that of `call`.
    """

    def __init__(self, store: Store) -> None:
        """Stand in front of `store`."""
        self.store = store
        own = type(self)
        if own.call is StoreWrapper.call and own.read is StoreWrapper.read:
            for name in _OPERATIONS:
                if getattr(own, name) is getattr(StoreWrapper, name):
                    setattr(self, name, getattr(store, name))

    async def call(self, operation: str, key: str, run: Callable[[], Running[T]]) -> T:  # noqa: ARG002 - for subclasses
        """Run one operation, named like its method, once. `key` may be a prefix, or the first of several keys."""
        return await run()

    async def read(self, key: str, receive: Callable[[], Awaitable[bytes]]) -> bytes:  # noqa: ARG002 - for subclasses
        """Receive the next bytes of a stream that `open` began; `StopAsyncIteration` is its end."""
        return await receive()

    @property
    def features(self) -> Features:
        """What the store within was seen to do."""
        return self.store.features

    def get(self, key: str, *, most_bytes: int | None = None) -> Running[Fetched]:
        """See `Store`."""
        return self.call("get", key, partial(self.store.get, key, most_bytes=most_bytes))

    def find(self, key: str, *, most_bytes: int | None = None) -> Running[Fetched | None]:
        """See `Store`. It is the same operation as `get`."""
        return self.call("get", key, partial(self.store.find, key, most_bytes=most_bytes))

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Store`. The operation is the beginning of the stream, until bytes can be received."""
        async with AsyncExitStack() as stack:
            opened = self.store.open(key, start, end)
            chunks = await self.call("open", key, partial(stack.enter_async_context, opened))
            yield _Stream(partial(self.read, key, chunks.__anext__))

    def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Running[Stored]:
        """See `Store`."""
        run = partial(self.store.put, key, body, if_none_match=if_none_match, if_match=if_match)
        return self.call("put", key, run)

    def delete(self, key: str, *, if_match: str | None = None) -> Running[None]:
        """See `Store`."""
        return self.call("delete", key, partial(self.store.delete, key, if_match=if_match))

    def delete_many(self, keys: Sequence[str]) -> Running[None]:
        """See `Store`."""
        return self.call("delete_many", keys[0] if keys else "", partial(self.store.delete_many, keys))

    def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Running[Listing]:
        """See `Store`."""
        run = partial(self.store.list, prefix, start_after=start_after, limit=limit, directories=directories)
        return self.call("list", prefix, run)

    def create_multipart(self, key: str) -> Running[str]:
        """See `Store`."""
        return self.call("create_multipart", key, partial(self.store.create_multipart, key))

    def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Running[Part]:
        """See `Store`."""
        return self.call("put_part", key, partial(self.store.put_part, key, multipart_id, number, body))

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Running[Stored]:
        """See `Store`."""
        run = partial(self.store.complete_multipart, key, multipart_id, parts)
        return self.call("complete_multipart", key, run)

    def abort_multipart(self, key: str, multipart_id: str) -> Running[None]:
        """See `Store`."""
        return self.call("abort_multipart", key, partial(self.store.abort_multipart, key, multipart_id))

    def list_multiparts(
        self, prefix: str, *, after: MultipartMarker | None = None, limit: int = 1000
    ) -> Running[MultipartListing]:
        """See `Store`."""
        run = partial(self.store.list_multiparts, prefix, after=after, limit=limit)
        return self.call("list_multiparts", prefix, run)

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """See `Store`. It calls no store, so no wrapper runs."""
        return await self.store.presign_get(key, expires_s=expires_s, filename=filename)


class _Stream:
    """An iterator of chunks. Unlike a generator it needs no closing if it is left half read."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> bytes:
        return await self._receive()
