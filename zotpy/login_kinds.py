"""The kinds of logins, in the order in which callers are tried with them, each made from its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from zotpy.auth import passwords
from zotpy.auth.api_keys import ApiKeyChecks
from zotpy.auth.authenticator import Authenticator, BearerReader, Renewer
from zotpy.auth.claims import Names
from zotpy.auth.htpasswd import Htpasswd
from zotpy.auth.login_places import Places
from zotpy.auth.passwords import PasswordChecks
from zotpy.bell import Bell
from zotpy.bucket.api_keys import ApiKeys
from zotpy.bucket.key_uses import KeyUses
from zotpy.bucket.store_clock import StoreClock
from zotpy.services import Service
from zotpy.settings import Settings
from zotpy.startup import StartupError
from zotpy.store.interface import Store
from zotpy.web.key_desk import KeyDesk
from zotpy.web.login import Recognizer
from zotpy.web.routes import Route


@dataclass(frozen=True, slots=True)
class Ground:
    """What a kind of login may be built from."""

    settings: Settings
    bell: Bell
    """Rung when files are to be looked at again."""
    store: Store
    clock: StoreClock
    """What time it is, for the end of tokens and keys."""
    reads: Callable[[], Names] = frozenset
    """Returns which claims of callers the rules read."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of login: what it adds to the lists of `Login`, and what runs beside it."""

    authenticators: tuple[Authenticator, ...] = ()
    remembering: tuple[Authenticator, ...] = ()
    """Know some users from memory, so they are asked before all others, some of which compute for long."""
    bearers: tuple[BearerReader, ...] = ()
    recognizers: tuple[Recognizer, ...] = ()
    renewers: Mapping[str, Renewer] = field(default_factory=dict)
    """By `Identity.kind`."""
    services: tuple[Service, ...] = ()
    routes: tuple[Route, ...] = ()


def by_api_keys(ground: Ground) -> Kind | None:
    """Find API keys in the bucket."""
    auth = ground.settings.auth
    if not auth.apikey:
        return None
    found, uses = ApiKeys(ground.store), KeyUses(ground.store)
    places = Places(auth.checks_waiting, auth.checks_per_client)
    checks = ApiKeyChecks(found.find, places, ground.clock.time, uses.note)
    desk = KeyDesk(found, uses, auth.api_keys_per_user, ground.clock.time)
    return Kind(authenticators=(checks,), routes=desk.routes, services=(Service(uses.keep_written),))


def by_oidc(ground: Ground) -> Kind | None:
    """Take the tokens of issuers, such as those of CI jobs. Nobody asks an issuer before its first token is here.

    With `http.auth.openid` there is this login, even if it lets nobody in: a registry without any would be open.
    """
    auth = ground.settings.auth
    if not auth.all_issuers and auth.openid is None:
        return None
    from zotpy.auth import oidc  # noqa: PLC0415 - only such registries need its libraries
    from zotpy.auth.issuer_keys import IssuerKeys, trust  # noqa: PLC0415

    try:
        issuers = [
            oidc.Issuer(each, IssuerKeys(each.issuer, trust(each), auth.checks_waiting)) for each in auth.all_issuers
        ]
    except (OSError, ValueError) as error:
        msg = f"http.auth.bearer.oidc: the authorities of an issuer cannot be read: {error}"
        raise StartupError(msg) from error
    tokens = oidc.WorkloadTokens(issuers, ground.clock.now, ground.reads)
    services = tuple(Service(each.keys.keep_current) for each in issuers)
    return Kind(authenticators=(tokens,), bearers=(tokens,), renewers={oidc.KIND: tokens}, services=services)


def by_htpasswd(ground: Ground) -> Kind | None:
    """Read the file of users. It is checked again every few seconds, and when the bell is rung."""
    auth = ground.settings.auth
    if auth.htpasswd is None:
        return None
    try:
        htpasswd = Htpasswd(auth.htpasswd)
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        msg = f"http.auth.htpasswd.path: {auth.htpasswd} cannot be read: {reason}"
        raise StartupError(msg) from error
    checks = PasswordChecks(
        lambda: htpasswd.users, auth.checks_at_once, auth.checks_waiting, auth.remember_s, auth.checks_per_client
    )
    watching = Service(partial(htpasswd.keep_current, ground.bell))
    return Kind(authenticators=(checks,), renewers={passwords.KIND: checks}, services=(watching,))


def by_ldap(ground: Ground) -> Kind | None:
    """Ask a directory. Its files are checked again every few seconds, and when the bell is rung."""
    auth = ground.settings.auth
    if auth.ldap is None:
        return None
    try:
        from zotpy.auth import ldap  # noqa: PLC0415 - the library is an extra
        from zotpy.auth.account import AccountFiles  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"http.auth.ldap needs the Python package {error.name}, which zotpy's extra `ldap` brings: install it"
        raise StartupError(msg) from error
    try:
        files = AccountFiles(auth.ldap)
        directory = ldap.Ldap(auth.ldap, lambda: files.account, auth.checks_waiting, auth.checks_per_client)
    except (OSError, ValueError) as error:
        msg = f"http.auth.ldap: {error}"
        raise StartupError(msg) from error
    return Kind(
        authenticators=(directory,),
        remembering=(directory.remembered,),
        renewers={ldap.KIND: directory},
        services=(Service(partial(files.keep_current, ground.bell)), Service(directory.keep_connections)),
    )


def by_certificate(ground: Ground) -> Kind | None:
    """Read client certificates. The handshake has verified them, or a trusted proxy has."""
    if (mtls := ground.settings.auth.mtls) is None:
        return None
    from zotpy.auth.certificates import Naming  # noqa: PLC0415 - only such registries need its library
    from zotpy.web.client_certificates import ClientCertificates  # noqa: PLC0415

    return Kind(recognizers=(ClientCertificates(Naming(mtls, ground.clock.time), mtls.proxy_header),))


def by_outside_tokens(ground: Ground) -> Kind | None:
    """Read the public key of an outside token service. Its file is checked again every few seconds, and at the bell."""
    bearer = ground.settings.auth.bearer
    if bearer.key is None:
        return None
    from zotpy.auth.outside import OutsideTokens  # noqa: PLC0415 - only such registries need its library

    try:
        tokens = OutsideTokens(bearer.key, bearer.service, bearer.issuer, ground.clock.now)
    except (OSError, ValueError) as error:
        msg = f"http.auth.bearer.cert: {bearer.key} cannot be used: {error}"
        raise StartupError(msg) from error
    return Kind(bearers=(tokens,), services=(Service(partial(tokens.keep_current, ground.bell)),))


KINDS: tuple[Callable[[Ground], Kind | None], ...] = (
    by_api_keys,
    by_oidc,
    by_htpasswd,
    by_ldap,
    by_certificate,
    by_outside_tokens,
)
"""Every kind of login, in the order in which they are asked.

One that knows its own passwords by their form, such as a key with a prefix, comes before `by_htpasswd`. The latter
spends the time of a check on each name that it does not know. One that asks another server comes after it. Each returns
`None` if the settings do not ask for it, and raises `StartupError` if it cannot work.
"""
