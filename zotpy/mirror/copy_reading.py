"""One reader behind a copy: from the window, from the upstream if it is far ahead, and from the bucket at the end.

A client may begin in the middle: it goes on after another replica was killed, or it reads single files of a layer. If
the copy is far from there, the reader asks the upstream for these bytes itself. They are not kept, and nobody compares
them with the digest, as with any range. But the last byte of the blob always waits until the copy has all bytes, and
they have the digest.

If the store is full, nothing is in the bucket at the end, and a reader behind the window asks the upstream as well.

A copy that another replica began may go on where that one was killed. The bytes before come from the upstream, too.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import structlog
import trio

from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.mirror.manifests import unanswered
from zotpy.upstream.errors import UpstreamError

if TYPE_CHECKING:
    from zotpy.mirror.copying import Copy

FAR_BYTES = 64 * MIB
"""A reader waits for a copy that is no farther behind it than this."""
log = structlog.get_logger()


class CopyReads:
    """The iterator of one reader."""

    def __init__(self, copy: "Copy", span: Span, stack: AsyncExitStack) -> None:
        """Read `span`. What is read elsewhere is closed with `stack`."""
        self.at, self._end = span.start, span.end
        """The next byte to hand out."""
        self._copy = copy
        self._stack = stack
        self._ahead: AsyncIterator[bytes] | None = None
        self._ahead_stack = AsyncExitStack()
        self._refused: UpstreamError | None = None
        """Why the upstream did not give what was asked for. From then on the reader waits for the copy."""
        self._rest: AsyncIterator[bytes] | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether it does not read what the copy offers now."""
        return self._ahead is not None or self.at > self._copy.window.end

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Raises what ended the copy."""
        copy, window = self._copy, self._copy.window
        while self._rest is None:
            if self._ahead is not None:
                if piece := await self._next_ahead(self._ahead):
                    return piece
            elif self.at >= self._end:
                raise StopAsyncIteration
            elif self.at < copy.first and await self._go_ahead():
                pass
            elif self.at < window.start:
                copy.moved()
                await (self._go_on_behind() if copy.is_kept else self._go_back())
            elif self.at < (limit := copy.limit()):
                piece = window.read(self.at)[: min(limit, self._end) - self.at]
                self.at += len(piece)
                copy.moved()
                return piece
            else:
                copy.raise_error()
                if copy.ended.is_set():
                    await self._go_on_behind()
                elif not await self._go_ahead():
                    await copy.grows()
        return await anext(self._rest)

    async def _go_ahead(self) -> bool:
        """Begin to read at the upstream if the copy is far behind, or began later, and say so."""
        copy, size_bytes = self._copy, self._copy.size_bytes
        is_before = self.at < copy.first
        is_far = is_before or self.at - copy.window.end > FAR_BYTES
        if self._refused is not None or not is_far or size_bytes is None or self.at >= size_bytes - 1:
            return False
        end = min(self._end, copy.first if is_before else size_bytes - 1)
        stack = AsyncExitStack()
        try:
            self._ahead = await stack.enter_async_context(copy.ahead(size_bytes, Span(self.at, end)))
        except trio.WouldBlock:
            return False
        except UpstreamError as error:
            self._wait_for_copy(error)
            return False
        self._leave_open(stack)
        return True

    def _leave_open(self, stack: AsyncExitStack) -> None:
        """Close what is read at the upstream when that ends, or at the latest with this reader."""
        self._stack.push_async_exit(stack)
        self._ahead_stack = stack

    async def _next_ahead(self, ahead: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes from the upstream, or `None`: from now on the reader follows the copy."""
        try:
            piece = await anext(ahead, None)
        except UpstreamError as error:
            self._wait_for_copy(error)
            piece = None
        if piece is None:
            self._ahead = None
            await self._ahead_stack.aclose()
            return None
        self.at += len(piece)
        return piece

    def _wait_for_copy(self, error: UpstreamError) -> None:
        self._refused = error
        log.info("range_waits_for_copy", at=self.at, reason=str(error))

    async def _go_on_behind(self) -> None:
        """Wait for the end of the copy, and go on in the bucket, unless nothing is kept."""
        copy = self._copy
        await copy.settled.wait()
        copy.raise_error()
        if copy.value is not None:
            self._rest = await self._stack.enter_async_context(copy.rest(copy.value, Span(self.at, self._end)))

    async def _go_back(self) -> None:
        """Read at the upstream what the window has no more, because the blob is not kept. Raises `TryAgain`.

        The last byte waits until all are known to be right.
        """
        copy, size_bytes = self._copy, self._copy.size_bytes
        copy.raise_error()
        if self._refused is not None:
            raise unanswered(self._refused)
        if size_bytes is None or (self.at >= size_bytes - 1 and not copy.is_right):
            await copy.confirmed.wait()
            return
        stack, end = AsyncExitStack(), self._end if copy.is_right else min(self._end, size_bytes - 1)
        try:
            back = copy.ahead(size_bytes, Span(self.at, end), waits=True)
            self._ahead = await stack.enter_async_context(back)
        except UpstreamError as error:
            raise unanswered(error) from error
        self._leave_open(stack)
