"""Bodies of answers that are read while they are sent."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self


class StreamedBody:
    """A body of an answer, out of a reader that must be entered and left in the task that sends."""

    def __init__(self, reader: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        """Stream from `reader`, which is entered only when the response is sent."""
        self._reader = reader
        self._stack = AsyncExitStack()
        self._chunks: AsyncIterator[bytes]

    async def __aenter__(self) -> Self:
        self._chunks = await self._stack.enter_async_context(self._reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks
