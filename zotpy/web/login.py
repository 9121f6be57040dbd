"""Who makes a request, by the credentials that it carries, and so what it may do."""

from collections.abc import Callable
from dataclasses import dataclass

from zotpy.auth.basic import read_credentials
from zotpy.auth.grants import everything_to_users
from zotpy.auth.passwords import PasswordChecks
from zotpy.auth.permission import Identity, Permission
from zotpy.core.errors import Unauthorized
from zotpy.http.server.bodies import BoundedRequest

ANONYMOUS = Identity(kind="anonymous")
PING = "/v2"
Grant = Callable[[Identity], Permission]
"""Says what a caller may do."""


@dataclass(frozen=True, slots=True)
class Login:
    """Finds out who makes a request."""

    checks: PasswordChecks
    grant: Grant = everything_to_users

    async def admit(self, request: BoundedRequest) -> Permission:
        """Return what the caller may do. Raises `Unauthorized`, `TooManyRequests`.

        A caller without credentials is anonymous, and the policies say what such a caller may do. There is one
        exception. docker, podman, skopeo and crane ask for `/v2/` first, and send credentials later only if that was
        refused. So it is refused to every anonymous caller.

        A caller with bad credentials gets nothing, not even what an anonymous caller gets.
        """
        credentials = read_credentials(request.headers.getlist("Authorization"))
        if credentials is None:
            if request.path.rstrip("/") == PING:
                msg = "log in with a user name and a password"
                raise Unauthorized(msg)
            return self.grant(ANONYMOUS)
        if not await self.checks.are_good(credentials):
            msg = "the user name or the password is wrong: log in again"
            raise Unauthorized(msg)
        return self.grant(Identity(credentials.name, kind="htpasswd"))
