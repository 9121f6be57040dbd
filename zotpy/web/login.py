"""Who makes a request, by the credentials that it carries, and so what it may do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zotpy.auth.authenticator import Authenticator, BearerReader
from zotpy.auth.basic import Bearer, Credentials, read_authorization
from zotpy.auth.conditions import Circumstances
from zotpy.auth.delayed_refusals import Refusals
from zotpy.auth.grants import everything_to_users
from zotpy.auth.permission import Identity, Permission
from zotpy.auth.tokens import EXPIRED, TokenEnded
from zotpy.core.errors import TokenInvalid, Unauthorized
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.web.facts import judge_of
from zotpy.web.other_sites import refuse_other_sites

ANONYMOUS = Identity(kind="anonymous")
NOBODY = Identity(kind="anonymous", can_log_in=False)
ASKED_FIRST = frozenset({"/v2", "/v2/_catalog"})
"""Requests whose answer would mislead clients that send a login only where one is asked for; see `Login.admit`."""
UPLOAD = "/v2/<path:name>/blobs/uploads/<upload_id>"
"""The rule of requests that go on with an upload."""
Grant = Callable[[Identity, Circumstances], Permission]
"""Says what a caller may do in these circumstances."""


async def admit_nobody_by_name(grant: Grant, request: BoundedRequest) -> Permission:
    """Let everybody in as an anonymous caller, whatever credentials they carry: the registry has no login."""
    return grant(NOBODY, judge_of(request))


class Recognizer(Protocol):
    """A kind of login that needs no `Authorization` header, such as a client certificate of the connection."""

    async def recognize(self, request: BoundedRequest) -> Identity | None:
        """Return who makes the request. `None`: it carries nothing of this kind.

        Raises `Unauthorized` if it carries something that is not good: the caller is then not even anonymous.
        """
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """Finds out who makes a request. Each kind of login is asked in its place of its list."""

    authenticators: Sequence[Authenticator] = ()
    """For a name and a password."""
    bearers: Sequence[BearerReader] = ()
    """For a token."""
    recognizers: Sequence[Recognizer] = ()
    """For a request without an `Authorization` header."""
    grant: Grant = everything_to_users
    refusals: Refusals = field(default_factory=Refusals)

    async def admit(self, request: BoundedRequest) -> Permission:
        """Return what the caller may do. Raises `Unauthorized`, `Denied`, `TooManyRequests`, `Unavailable`.

        A caller without credentials is anonymous, and the policies say what such a caller may do. There are two
        exceptions, which are refused to every caller without credentials:

        - `/v2/`: docker, podman, skopeo and crane ask for it first, and get a token or send credentials later only if
          that was refused.
        - The list of repositories: regctl and oras send their login only after a refusal. They would take the
          repositories that everybody may read for all that there are.

        A token of an anonymous caller counts as credentials.

        A caller with bad credentials gets nothing, not even what an anonymous caller gets.
        """
        refuse_other_sites(request)
        identity = await self.caller(request)
        if identity is ANONYMOUS and request.path.rstrip("/") in ASKED_FIRST:
            msg = "log in with a user name and a password, or get a token"
            raise Unauthorized(msg)
        return self.grant(identity, judge_of(request))

    async def caller(self, request: BoundedRequest) -> Identity:
        """Return who makes a request; `ANONYMOUS` without credentials. Raises as `admit`."""
        shown = read_authorization(request.headers.getlist("Authorization"), request.reached.client)
        if isinstance(shown, Credentials):
            return await self.identify(shown)
        if isinstance(shown, Bearer):
            return await self.read(shown.token, continues=request.route == UPLOAD)
        for recognizer in self.recognizers:
            if (identity := await recognizer.recognize(request)) is not None:
                return identity
        return ANONYMOUS

    async def identify(self, credentials: Credentials) -> Identity:
        """Return who has a name and a password. Raises `Unauthorized`, `TooManyRequests`, `Unavailable`."""
        try:
            for authenticator in self.authenticators:
                if (identity := await authenticator.identify(credentials)) is not None:
                    return identity
            msg = "the user name or the password is wrong: log in again"
            raise Unauthorized(msg)  # noqa: TRY301 - held back as those of the authenticators
        except Unauthorized:
            await self.refusals.hold(credentials.client)
            raise

    async def read(self, token: str, *, continues: bool = False) -> Identity:
        """Return who has a token. Raises `TokenInvalid`, `TooManyRequests`, `Unavailable`.

        Some clients cannot send the body of a chunk twice, and a long push outlives its token. So a request that
        `continues` an upload may have a token that has ended. Its Location says whose upload it is, and is signed: the
        handler lets nobody else go on with it (`zotpy.core.upload_tokens`).

        Refusals are not held back: nobody can guess a token, and each token ends.
        """
        try:
            for reader in self.bearers:
                if (identity := await reader.read(token)) is not None:
                    return identity
        except TokenEnded as ended:
            if continues:
                return ended.identity
            raise TokenInvalid(EXPIRED) from ended
        except Unauthorized as error:
            raise TokenInvalid(error.message, detail=error.detail) from error
        msg = "this registry does not recognize the token: log in again"
        raise TokenInvalid(msg)
