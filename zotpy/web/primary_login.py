"""Callers of a mirror whose primary decides what they may read: each request is asked there, with their credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from zotpy.auth.actions import Action
from zotpy.auth.permission import Identity, Permission, ReadOnly
from zotpy.core.errors import Denied, NameUnknown, RegistryError, TryAgain, Unauthorized
from zotpy.core.names import RepositoryName
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.mirror.primary import PING, Primary, PrimaryAnswer
from zotpy.web.errors import EndpointUnknown, LogInAtPrimary

LONGEST_WAIT_S = 300
_READS = ReadOnly(Identity(kind="primary"))
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PrimaryLogin:
    """Finds out whether the caller of a request may make it."""

    primary: Primary

    async def admit(self, request: BoundedRequest) -> Permission:
        """Return the permission to read.

        Other requests of the API fail for every caller, so the primary is not asked for them.
        Raises `LogInAtPrimary`, `Unauthorized`, `Denied`, `NameUnknown`, `EndpointUnknown`, `TryAgain`.
        """
        path = PING if request.path == "/v2" else request.path
        if request.method not in {"GET", "HEAD"} or not path.startswith(PING) or path == "/v2/_catalog":
            return _READS
        shown = request.headers.getlist("Authorization")
        if len(shown) > 1:
            msg = "the request has more than one Authorization header: send one"
            raise Unauthorized(msg)
        if not all(line.isascii() and line.isprintable() for line in shown):
            msg = "the Authorization header has characters that no login has: log in again"
            raise Unauthorized(msg)
        if path.endswith(("/.", "/..")):  # on its way to the primary it would become another path
            raise EndpointUnknown
        answer = await self.primary.ask(path, shown[0] if shown else None)
        if answer is None:
            msg = "the primary of this mirror does not answer, and it decides who may read: try again"
            raise TryAgain(msg)
        if (error := _refusal(path, answer)) is not None:
            raise error
        return _READS

    def challenge(
        self, request: BoundedRequest, needs: Action | None, repo: RepositoryName | None, error: BaseException
    ) -> Sequence[str]:
        """Hand on how the primary lets callers log in; see `zotpy.web.challenges.Challenge`."""
        del request, needs, repo
        return error.challenges if isinstance(error, LogInAtPrimary) else ()


def _refusal(path: str, answer: PrimaryAnswer) -> RegistryError | None:
    """Return the error for what the primary says; `None`: the caller may read this."""
    status = answer.status
    is_elsewhere = status == HTTPStatus.TEMPORARY_REDIRECT and "/blobs/" in path  # to the bytes, in its store
    if status == HTTPStatus.OK or is_elsewhere:
        return None
    if status == HTTPStatus.UNAUTHORIZED:
        return LogInAtPrimary(answer.challenges)
    if status == HTTPStatus.FORBIDDEN:
        return Denied("the primary of this mirror does not let you read this")
    if status == HTTPStatus.NOT_FOUND:
        return NameUnknown("the primary of this mirror does not have this")
    log.warning("primary_unavailable", reason=f"it answers with status {status}")
    wait_s = 5 if answer.retry_after_s is None else min(max(int(answer.retry_after_s) + 1, 1), LONGEST_WAIT_S)
    return TryAgain("the primary of this mirror cannot say whether you may read this: try again", retry_after_s=wait_s)
