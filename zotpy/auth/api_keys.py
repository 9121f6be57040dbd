"""API keys as passwords. The key says whose it is, so the user name may be anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zotpy.auth.basic import Credentials
from zotpy.auth.key_scopes import KeyScopes
from zotpy.auth.permission import Identity
from zotpy.auth.places import Places
from zotpy.auth.remembered import Remembered
from zotpy.core.api_keys import ApiKey, is_key
from zotpy.core.errors import Unauthorized

KIND = "apikey"
REMEMBER_S = 30.0
"""How long a key that was found counts without a look: so long may a revoked key still be good at a replica."""


@dataclass(slots=True)
class ApiKeyChecks:
    """Finds out whose a key is: a `zotpy.auth.authenticator.Authenticator`."""

    find: Callable[[str], Awaitable[ApiKey | None]]
    """Returns what is known of a key, with one store call."""
    places: Places
    """For keys that are looked for at the same time."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _remembered: Remembered[ApiKey] = field(default_factory=lambda: Remembered(REMEMBER_S), init=False, repr=False)

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return whose key the password is. `None`: it is no key.

        Raises `Unauthorized` if it was revoked or has expired, and `TooManyRequests` if too many are looked for.
        """
        password = credentials.password
        if not is_key(password):
            return None
        found = self._remembered.recall(password)
        if found is None:
            with self.places.place_for(credentials.client):
                found = await self.find(password.decode())
            if found is None:
                msg = "this API key does not exist, or was revoked: use another one"
                raise Unauthorized(msg)
            self._remembered.keep(found, password)
        if found.has_expired(self.clock()):
            msg = "this API key has expired: make another one"
            raise Unauthorized(msg)
        try:
            scopes = KeyScopes.parse(found.scopes)
        except ValueError as error:  # they were checked when it was made, perhaps by another release
            msg = "this API key has scopes that this registry does not know: make another one"
            raise Unauthorized(msg) from error
        return Identity(found.owner, found.groups, KIND, scopes=scopes, key=found.uuid)
