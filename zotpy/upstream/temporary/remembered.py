"""A login that lasts for a while, remembered until before its end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio

from zotpy.upstream.errors import UpstreamUnavailable
from zotpy.upstream.login import Login

REFUSALS_APART_S = 60.0
"""A login that is younger is not renewed because it was refused: the fault is another one."""
PAUSE_S = 5.0
"""How long a service that gave no login is left alone."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Temporary:
    """A login."""

    login: Login
    life_s: float
    """How long it lasts, from the moment before its service was asked."""


Mint = Callable[[], Awaitable[Temporary]]
"""Gets a new one. Raises `UpstreamUnavailable`."""


class Remembered:
    """A login for any time; see `zotpy.upstream.login.Credentials`. Only one caller at a time gets a new one."""

    def __init__(self, mint: Mint, margin_s: float) -> None:
        """Ask nobody yet. A login is renewed in the last `margin_s` of its life, or the last fifth of a short one."""
        self._mint = mint
        self._margin_s = margin_s
        self._login: Login | None = None
        self._begun = self._good_until = self._renewed_from = float("-inf")
        self._pause_until = float("-inf")
        self._error: UpstreamUnavailable | None = None
        self._lock = trio.Lock()

    async def __call__(self) -> Login:
        """Return it. Raises `UpstreamUnavailable` if none is valid now and the service gives none."""
        if (login := self._usable(is_asked=self._lock.statistics().locked)) is not None:
            await trio.lowlevel.checkpoint()
            return login
        async with self._lock:
            if (login := self._usable(is_asked=False)) is not None:
                return login
            return await self._renew()

    async def renewed(self, refused: Login, /) -> bool:
        """Get another login than this one, and say whether there is one; see `zotpy.upstream.login.Credentials`."""
        async with self._lock:
            if self._login != refused:
                return self._login is not None
            now = trio.current_time()
            if now < max(self._pause_until, self._begun + REFUSALS_APART_S):
                return False
            try:
                return await self._renew() != refused
            except UpstreamUnavailable as error:
                log.warning("login_not_renewed", reason=str(error))
                return False

    def _usable(self, *, is_asked: bool) -> Login | None:
        """Return the login if nobody needs to be asked now. `is_asked`: another caller asks for the next one."""
        now = trio.current_time()
        if now < self._renewed_from:
            return self._login
        return self._login if now < self._good_until and (is_asked or now < self._pause_until) else None

    async def _renew(self) -> Login:
        begun = trio.current_time()
        if self._error is not None and begun < self._pause_until:
            raise UpstreamUnavailable(str(self._error))
        try:
            new = await self._mint()
        except UpstreamUnavailable as error:
            self._pause_until, self._error = trio.current_time() + PAUSE_S, error
            if self._login is None or trio.current_time() >= self._good_until:
                raise
            log.warning("login_not_renewed", reason=str(error))
            return self._login
        self._login, self._error, self._begun = new.login, None, begun
        self._good_until = begun + new.life_s
        self._renewed_from = self._good_until - min(self._margin_s, new.life_s / 5)
        return new.login
