"""One kind of login by name and password: a file of users, a directory service, a key, a token as the password."""

from typing import Protocol

from zotpy.auth.basic import Credentials
from zotpy.auth.permission import Identity


class Authenticator(Protocol):
    """Finds out who has a name and a password. A replica asks its authenticators in their order."""

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who this is. `None`: nobody that this kind of login knows, so the next one is asked.

        Raises `Unauthorized` if the password belongs to this kind of login beyond doubt and is not good, such as a key
        that has expired: no other kind is asked then. Raises `TooManyRequests` if too many are being checked, and
        `Unavailable` if whoever would know does not answer.
        """
        ...
