"""From settings to what finds out who calls: the logins, the tokens that they give, and the challenge."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from zotpy.auth.delayed_refusals import Refusals
from zotpy.auth.grants import Grants
from zotpy.auth.tokens import CONTINUES_S, Tokens
from zotpy.bell import Bell
from zotpy.bucket.store_clock import StoreClock
from zotpy.bucket.token_keys import TokenKeys
from zotpy.core.framing import FramingError
from zotpy.login_kinds import KINDS, Ground, Kind
from zotpy.mirror.primary import Primary
from zotpy.services import Service
from zotpy.settings import Settings
from zotpy.startup import StartupError
from zotpy.store.interface import Store, StoreError
from zotpy.web.challenges import TOKEN_PATH, Challenge, Challenges, no_challenge
from zotpy.web.desk import Desk
from zotpy.web.dispatch import Admit, admit_everybody
from zotpy.web.login import Login, admit_nobody_by_name
from zotpy.web.primary_login import PrimaryLogin
from zotpy.web.routes import Route

SERVICE = "zotpy"
"""Whose tokens they are, if `http.externalUrl` does not give the registry a name."""


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in."""

    admit: Admit = admit_everybody
    challenge: Challenge = no_challenge
    """How a caller can log in."""
    routes: tuple[Route, ...] = ()
    """Endpoints of the logins themselves."""
    services: tuple[Service, ...] = ()
    """Keep current what the door knows."""


async def make_door(settings: Settings, bell: Bell, grants: Grants, store: Store) -> Door:
    """Make every kind of login that the settings ask for. Raises `StartupError` if one cannot work.

    Where there is a login, there are tokens.
    """
    ground = Ground(settings, bell, store, StoreClock(), grants.named_claims)
    if (registry := settings.mirror.primary) is not None:
        primary = Primary(registry)
        asking = PrimaryLogin(primary)
        return Door(asking.admit, asking.challenge, services=(Service(primary.run),))
    kinds = [kind for make in KINDS if (kind := make(ground)) is not None]
    if not kinds:
        return Door() if settings.http.access is None else Door(partial(admit_nobody_by_name, grants))
    tokens = await _open_tokens(ground, grants, kinds)
    login = Login(
        [
            *(each for kind in kinds for each in kind.remembering),
            *(each for kind in kinds for each in kind.authenticators),
        ],
        [tokens, *(each for kind in kinds for each in kind.bearers)],
        [each for kind in kinds for each in kind.recognizers],
        grants,
        Refusals(settings.auth.fail_delay_s, settings.auth.checks_waiting, settings.auth.checks_per_client),
    )
    challenges = Challenges(settings.http.realm if login.authenticators else None, *_token_service(settings))
    services = tuple(each for kind in kinds for each in kind.services)
    keeping = Service(partial(tokens.keys.keep_current, bell.rung))
    return Door(
        login.admit,
        challenges,
        (*Desk(login, tokens).routes, *(each for kind in kinds for each in kind.routes)),
        (*services, keeping),
    )


async def _open_tokens(ground: Ground, grants: Grants, kinds: Sequence[Kind]) -> Tokens[TokenKeys]:
    """Read the keys that sign tokens. Raises `StartupError`."""
    auth = ground.settings.auth
    try:
        longest_s = max(auth.session_lifetime_s, auth.token_lifetime_s) + CONTINUES_S
        keys = await TokenKeys.open(ground.store, longest_s, ground.clock)
    except (FramingError, StoreError) as error:
        msg = f"the keys that sign tokens, below meta/token-keys in the bucket, cannot be read: {error}"
        raise StartupError(msg) from error
    renewers = {name: each for kind in kinds for name, each in kind.renewers.items()}
    service = _own_service(ground.settings)
    lifetimes = auth.token_lifetime_s, auth.session_lifetime_s
    return Tokens(keys, service, *lifetimes, renewers, grants.counting, ground.clock.now, grants.named_claims)


def _own_service(settings: Settings) -> str:
    """Return what this registry's own tokens call it."""
    bearer = settings.auth.bearer
    named = bearer.service if bearer.key is None else ""
    return named or urlsplit(settings.http.external_url).netloc or SERVICE


def _token_service(settings: Settings) -> tuple[str, str]:
    """Return for which service clients get tokens, and where; an empty URL means where they have asked.

    zot's files may call a realm anything. Clients take it for a URL, so it counts only if it is one, unless an outside
    service has chosen it.
    """
    bearer, url = settings.auth.bearer, settings.http.external_url
    if bearer.key is not None:
        return bearer.service, bearer.realm
    is_url = bearer.realm.startswith(("http://", "https://"))
    return _own_service(settings), bearer.realm if is_url else url and f"{url}{TOKEN_PATH}"
