"""The body of a request, as httpx takes it."""

from collections.abc import AsyncIterator

import httpx

from zotpy.core.pieces import Pieces


class PiecesBody(httpx.AsyncByteStream):
    """A body given whole, as the pieces in which it lies. It must not change while it is sent."""

    def __init__(self, body: bytes | bytearray | Pieces) -> None:
        """Send `body` once."""
        self._blocks = iter(body.blocks() if isinstance(body, Pieces) else (body,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for block in self._blocks:
            return block  # type: ignore[return-value]  # any buffer does
        raise StopAsyncIteration
