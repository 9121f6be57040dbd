"""Refusals of wrong credentials, which are held back for a while (`http.auth.failDelay`), so that guesses take long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from zotpy.core.errors import TooManyRequests, Unauthorized

_RETRY_AFTER_S = 1


@dataclass(slots=True)
class Refusals:
    """Holds back refusals of all kinds of logins."""

    delay_s: float = 0.0
    """How long each is held back; 0: not at all."""
    most: int = 256
    """How many are held back at the same time. They take no places of logins: else guesses would keep users out."""
    held: int = field(default=0, init=False)
    """How many are now."""

    @asynccontextmanager
    async def held_back(self) -> AsyncIterator[None]:
        """Hold back an `Unauthorized` of the block. Raises `TooManyRequests` in its place if too many are."""
        try:
            yield
        except Unauthorized:
            if self.delay_s:
                if self.held >= self.most:
                    raise too_many() from None
                self.held += 1
                try:
                    await trio.sleep(self.delay_s)
                finally:
                    self.held -= 1
            raise


def too_many() -> TooManyRequests:
    """Return the error of a login that cannot be checked, or not be refused, because too many are."""
    return TooManyRequests("too many logins are being checked: try again", retry_after_s=_RETRY_AFTER_S)
