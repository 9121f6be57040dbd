"""Logging in to an upstream: Basic, or Bearer with tokens of its token service (distribution's token specification).

A client sends no login before the upstream has asked for it. The list of repositories is an exception: registries such
as zot also answer callers without a login, with a list of the public repositories alone. Each repository has a token of
its own, because a token is good for one scope. A token is used until shortly before its end, or until the upstream
refuses it.
"""

import base64
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.challenge import Challenge
from zotpy.upstream.errors import UpstreamBroken, UpstreamRefused
from zotpy.upstream.pages import read_answer

MOST_TOKENS = 1000
"""How many tokens are remembered. The one that was used longest ago is forgotten first."""
LONGEST_TOKEN = 16 * 1024
USUAL_LIFE_S = 60.0
"""How long a token lasts if its service does not say (token specification)."""
LONGEST_LIFE_S = 24 * 3600.0
MARGIN_S = 10.0
"""A token is not used in the last seconds of its life, or in the last fifth of a short one."""
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Login:
    """The login at one upstream."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """A token that is sent unchanged, instead of name and password."""

    @property
    def basic(self) -> str | None:
        """The value of `Authorization`, or `None` without a name."""
        if not self.username:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """A login, which may change: the passwords of some services last only hours."""

    async def __call__(self) -> Login:
        """Return the login that counts now. Raises `UpstreamUnavailable` if the service gives none."""
        ...

    async def renewed(self, refused: Login, /) -> bool:
        """Get another login than this one, which was refused, and say whether there is one."""
        ...


Ask = Callable[[str, Mapping[str, str], str | None], Awaitable[bytes]]
"""Asks a token service: its URL, the parameters, and `Authorization`. Returns the answer's body."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A login that never changes; see `Credentials`."""

    login: Login

    async def __call__(self) -> Login:
        """Return it."""
        await trio.lowlevel.checkpoint()
        return self.login

    async def renewed(self, refused: Login, /) -> bool:
        """Say that there is no other one."""
        await trio.lowlevel.checkpoint()
        return self.login != refused


def fixed(settings: UpstreamSettings) -> Credentials:
    """Return the login that the settings name."""
    return Fixed(Login(settings.username, settings.password, settings.token))


@dataclass(frozen=True, slots=True)
class _Known:
    header: str = field(repr=False)
    good_until: float


class Logins:
    """What to send as `Authorization` to one upstream."""

    def __init__(self, credentials: Credentials, ask: Ask) -> None:
        """Ask nobody yet."""
        self._credentials = credentials
        self._ask = ask
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._wants_basic = False
        self._lock = trio.Lock()
        self._current: Login | None = None
        """The login that was sent last."""
        self.renewals = 0
        """How often another login took the place of one that was refused."""

    async def header(self, repo: str, *, is_asked: bool = True) -> str | None:
        """Return what to send with the first request. `repo` is empty for requests that belong to no repository.

        If the upstream `is_asked` first, it gets a name and a password only after it has asked for them.
        """
        known = self._known.get(repo)
        if known is not None and trio.current_time() < known.good_until:
            self._known.move_to_end(repo)
            return known.header
        login = await self._login()
        if login.token:
            return f"Bearer {login.token}"
        return login.basic if self._wants_basic or not is_asked else None

    async def answer(self, repo: str, scope: str, challenges: Sequence[Challenge], sent: str | None) -> str | None:
        """Return what to send after a refusal; `None`: there is nothing else to try.

        `sent` is what was refused, and `scope` what is asked for if the challenge names none. Raises `UpstreamError`.
        """
        login = await self._login()
        if login.token:
            return None
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                return await self._token(repo, scope, challenge, sent, login)
            if challenge.scheme == "basic" and login.basic not in {None, sent}:
                self._wants_basic = True
                return login.basic
        return None

    async def renew(self, renewals: int) -> bool:
        """Get another login after a refusal, and say whether a request should be sent again with it.

        `renewals` is how many there were when the refused request began: another task may have renewed the login since.
        """
        async with self._lock:
            if self.renewals == renewals:
                if self._current is None or not await self._credentials.renewed(self._current):
                    return False
                self._known.clear()
                self.renewals += 1
            return True

    async def _login(self) -> Login:
        self._current = await self._credentials()
        return self._current

    async def _token(self, repo: str, scope: str, challenge: Challenge, sent: str | None, login: Login) -> str | None:
        """Get a token, unless another task has just got one."""
        async with self._lock:
            known = self._known.get(repo)
            if known is not None and known.header != sent and trio.current_time() < known.good_until:
                return known.header
            wanted = {
                "service": challenge.parameters.get("service", ""),
                "scope": challenge.parameters.get("scope") or scope,
            }
            begun = trio.current_time()
            parameters = {name: value for name, value in wanted.items() if value}
            body = await self._ask(challenge.parameters["realm"], parameters, login.basic)
            token, life_s = read_token(body)
            known = _Known(f"Bearer {token}", begun + life_s - min(MARGIN_S, life_s / 5))
            self._known[repo] = known
            self._known.move_to_end(repo)
            if len(self._known) > MOST_TOKENS:
                self._known.popitem(last=False)
            return known.header


def read_token(body: bytes) -> tuple[str, float]:
    """Read the answer of a token service: the token, and how many seconds it lasts.

    Raises `UpstreamBroken`, `UpstreamRefused`.
    """
    document = read_answer(body, "the answer of the token service")
    token = document.get("token") or document.get("access_token")
    if not token:
        msg = "the token service answers without a token"
        raise UpstreamRefused(msg)
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        msg = "the token service answers with a token that cannot be sent"
        raise UpstreamBroken(msg)
    life_s = document.get("expires_in")
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not life_s > 0:
        life_s = USUAL_LIFE_S
    return token, float(min(life_s, LONGEST_LIFE_S))
