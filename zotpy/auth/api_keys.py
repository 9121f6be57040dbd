"""API keys as passwords. The key says whose it is, so the user name may be anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zotpy.auth.basic import Credentials
from zotpy.auth.claims import UNKNOWN
from zotpy.auth.key_scopes import KeyScopes
from zotpy.auth.login_places import Places
from zotpy.auth.permission import Identity
from zotpy.auth.remembered_passwords import Remembered
from zotpy.core.api_keys import ApiKey, is_key
from zotpy.core.errors import Unauthorized

KIND = "apikey"
REMEMBER_S = 30.0
"""How long a key that was found counts without another read: a revoked key may be valid at a replica for this long."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A key, and what it is good for."""

    api_key: ApiKey
    scopes: KeyScopes | None
    """`None`: this release does not know them. They were checked when the key was made, perhaps by another release."""


@dataclass(slots=True)
class ApiKeyChecks:
    """Finds out whose a key is: a `zotpy.auth.authenticator.Authenticator`."""

    find: Callable[[str], Awaitable[ApiKey | None]]
    """Returns what is known of a key, with one store call."""
    places: Places
    """For keys that are looked for at the same time."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_use: Callable[[ApiKey], None] = lambda _: None
    """Called with a good key that was looked for: while it is used, every `REMEMBER_S`."""
    _remembered: Remembered[_Found] = field(default_factory=lambda: Remembered(REMEMBER_S), init=False, repr=False)

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return whose key the password is. `None`: it is no key.

        Raises `Unauthorized` if it was revoked or has expired, and `TooManyRequests` if too many are looked for.
        """
        if not is_key(credentials.password):
            return None
        remembered = self._remembered.recall(credentials.password)
        found = remembered or await self._look_up(credentials)
        api_key = found.api_key
        if api_key.has_expired(self.clock()):
            msg = "this API key has expired: make another one"
            raise Unauthorized(msg)
        if found.scopes is None:
            msg = "this API key has scopes that this registry does not know: make another one"
            raise Unauthorized(msg)
        if remembered is None:
            self.on_use(api_key)
        return Identity(api_key.owner, api_key.groups, KIND, scopes=found.scopes, key=api_key.uuid, claims=UNKNOWN)

    async def _look_up(self, credentials: Credentials) -> _Found:
        """Find a key in the bucket, and remember it. Raises `Unauthorized`, `TooManyRequests`."""
        with self.places.place_for(credentials.client):
            api_key = await self.find(credentials.password.decode())
        if api_key is None:
            msg = "this API key does not exist, or was revoked: use another one"
            raise Unauthorized(msg)
        found = _Found(api_key, _scopes_of(api_key))
        self._remembered.keep(found, credentials.password)
        return found


def _scopes_of(api_key: ApiKey) -> KeyScopes | None:
    try:
        return KeyScopes.parse(api_key.scopes)
    except ValueError:
        return None
