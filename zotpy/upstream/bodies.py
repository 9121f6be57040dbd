"""The body of an answer, read piece by piece, which its reader may leave at any byte.

httpx reads a body with async generators inside each other, and closes none of them if its reader leaves: trio then
warns, and finishes them at an unknown time. So the connection is closed first. The generators then fail at their next
step, which ends all of them.
"""

from contextlib import suppress

import httpx


class Body:
    """The body of one answer."""

    def __init__(self, answer: httpx.Response) -> None:
        """Read nothing yet."""
        self.answer = answer
        self._pieces = answer.aiter_raw()
        self._is_begun = self._is_ended = False

    async def next(self) -> bytes | None:
        """Return the next bytes, or `None` at the end. Raises `httpx.HTTPError`."""
        self._is_begun = True
        try:
            piece = await anext(self._pieces, None)
        except BaseException:
            self._is_ended = True
            raise
        self._is_ended = piece is None
        return piece

    async def close(self) -> None:
        """Let the connection serve other requests if the body was read to its end; otherwise close it."""
        try:
            await self.answer.aclose()
        finally:
            if self._is_begun and not self._is_ended:
                with suppress(httpx.HTTPError, httpx.StreamError):
                    while await anext(self._pieces, None) is not None:
                        pass  # what had come before the connection was closed
