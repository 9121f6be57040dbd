"""The kinds of login by what a request carries: a name with a password, or a token of some issuer."""

from collections.abc import Mapping
from typing import Protocol

from zotpy.auth.basic import Credentials
from zotpy.auth.permission import Identity


class Authenticator(Protocol):
    """Finds out who has a name and a password. A replica asks its authenticators in their order.

    Examples are a file of users, a directory service, a key, and a token as the password.
    """

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who this is. `None`: nobody that this kind of login knows, so the next one is asked.

        Raises `Unauthorized` if the password belongs to this kind of login beyond doubt and is not good, such as a key
        that has expired: no other kind is asked then. Raises `TooManyRequests` if too many are being checked, and
        `Unavailable` if the service that knows the login does not answer.
        """
        ...


class BearerReader(Protocol):
    """Finds out who has a token (`Authorization: Bearer`, RFC 6750). A replica asks its readers in their order."""

    async def read(self, token: str) -> Identity | None:
        """Return who has this token. `None`: it is not of this kind, so the next reader is asked.

        Raises `Unauthorized` if the token is of this kind and is not good: no other reader is asked then. Raises
        `Unavailable` if the service that knows the login does not answer. `token` may be any text of up to 64 KiB.
        """
        ...


class Renewer(Protocol):
    """Says whether a login of a while ago still counts: a client brings it back in a refresh token.

    The refresh token has the identity, and what the renewer notes. A kind of login without a renewer gives none.
    """

    def note(self, identity: Identity) -> Mapping[str, object]:
        """Return what `renew` will need, as JSON that the client may read: a few KiB at most, and no secret."""
        ...

    async def renew(self, identity: Identity, noted: Mapping[str, object]) -> Identity | None:
        """Return the identity as it is today. `None`: this login counts no more.

        Raises `Unavailable` if the service that knows the login does not answer.
        """
        ...
