"""The body of an answer, read piece by piece, which its reader may leave at any byte."""

import httpx

from zotpy.upstream.transport import BODY, Received


class Body:
    """The body of one answer."""

    def __init__(self, answer: httpx.Response) -> None:
        """Read nothing yet."""
        self.answer = answer
        self._received: Received = answer.extensions[BODY]

    async def next(self) -> bytes | None:
        """Return the next bytes, or `None` at the end. Raises `TransportError`."""
        return await self._received.receive() or None

    async def close(self) -> None:
        """Let the connection serve other requests if the body was read to its end; otherwise close it."""
        await self.answer.aclose()
