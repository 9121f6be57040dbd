"""Refusals of wrong credentials, which are held back for a while (`http.auth.failDelay`), so that guesses take long."""

from dataclasses import dataclass, field

import trio

from zotpy.auth.login_places import Places


@dataclass(slots=True)
class Refusals:
    """Holds back refusals of all kinds of logins."""

    delay_s: float = 0.0
    """How long each is held back; 0: not at all."""
    most: int = 256
    """How many are held back at the same time. They take no places of logins: else guesses would keep users out."""
    per_client: int | None = None
    """How many of these may be of one client; `None`: all."""
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.most, self.most if self.per_client is None else self.per_client)

    @property
    def held(self) -> int:
        """How many are held back now."""
        return self._places.taken

    async def hold(self, client: str) -> None:
        """Wait as long as a refusal of this client is held back. Raises `TooManyRequests` at once if too many are."""
        if self.delay_s:
            with self._places.place_for(client):
                await trio.sleep(self.delay_s)
