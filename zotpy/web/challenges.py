"""What an answer 401 says about how to log in: `WWW-Authenticate`, a header line for each scheme.

Below `/v2` the only challenge is Bearer, as at the large public registries. docker's daemon would answer each challenge
that it reads, the last one last. Beside a token it would send the password, and it would give up if it has none, as
after `docker login`, which keeps a refresh token, or without a login. Basic is offered where no token is to be had, at
the endpoint that gives tokens, and where people come with other programs (`/metrics`). Each challenge has a line of its
own. containerd fetches another token only if the challenge has `error="invalid_token"`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.auth.basic import quoted
from zotpy.auth.scopes import needed_scope
from zotpy.core.errors import TokenInvalid
from zotpy.core.names import RepositoryName
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.web.call import namespace_of

TOKEN_PATH = "/zot/auth/token"  # noqa: S105 - where tokens are given
Challenge = Callable[[BoundedRequest, Action | None, RepositoryName | None, BaseException], Sequence[str]]
"""Called with a request that was refused, what its row needs, its repository, and the error. Returns header lines."""


def no_challenge(
    request: BoundedRequest, needs: Action | None, repo: RepositoryName | None, error: BaseException
) -> Sequence[str]:
    """Say nothing: nobody can log in."""
    del request, needs, repo, error
    return ()


@dataclass(frozen=True, slots=True)
class Challenges:
    """Writes the challenges of a registry."""

    basic_realm: str | None = None
    """What Basic logs in to; `None`: there are no passwords."""
    service: str = ""
    """Whose tokens are good here; empty: none are."""
    token_realm: str = ""
    """The URL that gives tokens; empty: `TOKEN_PATH` at the host that the client has asked."""

    def __call__(
        self, request: BoundedRequest, needs: Action | None, repo: RepositoryName | None, error: BaseException
    ) -> Sequence[str]:
        """Write the header lines for a request that was refused."""
        lines = []
        if self.service and request.path != TOKEN_PATH and (realm := self.token_realm or _realm_at(request)):
            lines.append(self._bearer(realm, request, needs, repo, error))
        if self.basic_realm is not None and not (lines and below_v2(request.path)):
            lines.append(f"Basic realm={quoted(self.basic_realm)}")
        return lines

    def _bearer(
        self,
        realm: str,
        request: BoundedRequest,
        needs: Action | None,
        repo: RepositoryName | None,
        error: BaseException,
    ) -> str:
        told = "" if repo is None else namespace_of(request) + repo.text
        scope = "" if needs is None else needed_scope(needs, told)
        parameters = {"realm": realm, "service": self.service, "scope": scope, "error": _what_is_wrong(request, error)}
        return "Bearer " + ",".join(f"{name}={quoted(value)}" for name, value in parameters.items() if value)


def below_v2(path: str) -> bool:
    """Whether a path is of the registry's API (OCI distribution-spec), where registry clients ask."""
    return path == "/v2" or path.startswith("/v2/")


def _realm_at(request: BoundedRequest) -> str:
    """Return where the client gets tokens; empty if that cannot be known.

    A proxy that ends TLS and that nobody has named in `http.trustedProxies` hides how the client reaches us. A realm
    with `http` would then send passwords in the clear, or nowhere.
    """
    reached = request.reached
    told = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    if not reached.origin or (told == "https" and reached.scheme != "https"):
        return ""
    above = f"{reached.prefix}/".partition("/v2/")[0].rstrip("/")
    return f"{reached.origin}{above}{TOKEN_PATH}"


def _what_is_wrong(request: BoundedRequest, error: BaseException) -> str:
    if request.headers.get("Authorization", "").partition(" ")[0].lower() != "bearer":
        return ""
    return "invalid_token" if isinstance(error, TokenInvalid) else "insufficient_scope"
