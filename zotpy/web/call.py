"""A request on its way through the registry: what a handler is given."""

from dataclasses import dataclass

from zotpy.auth.permission import Identity, Permission
from zotpy.core.names import RepositoryName
from zotpy.core.quick import quickly_made
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.memory.accounts import Account
from zotpy.registry.registry import Registry
from zotpy.web.context import Context

_API = "/v2"


@quickly_made
@dataclass(frozen=True, slots=True)
class Call:
    """One request, after its path was read and its caller was allowed to make it."""

    context: Context
    request: BoundedRequest
    permission: Permission
    """Answers what the handler still has to ask: whether the caller may also do something else."""
    repository: RepositoryName | None = None
    """The repository that the path names."""
    last: str = ""
    """The digest, reference or upload that the path names, as the client wrote it; empty if it names none."""

    @property
    def registry(self) -> Registry:
        """The use cases."""
        return self.context.registry

    @property
    def repo(self) -> RepositoryName:
        """The repository, for handlers whose rule has one."""
        assert self.repository is not None  # noqa: S101 - the rule of such a handler has a name
        return self.repository

    @property
    def identity(self) -> Identity:
        """Who calls."""
        return self.permission.identity

    @property
    def is_head(self) -> bool:
        """Say whether only the head of an answer is asked for."""
        return self.request.method == "HEAD"

    @property
    def body(self) -> BoundedBody:
        """The body of the request, to be read once."""
        return self.request.body

    def hold(self) -> Account:
        """Open an account for what the answer takes in memory until it was sent."""
        account = self.registry.budget.account()
        self.request.held = account
        return account

    def charged_body(self) -> BoundedBody:
        """Return the body with an account for what it will hold."""
        body = self.body
        body.account = self.registry.budget.account()
        return body

    def path(self, path: str) -> str:
        """Write a path for Location or Link. Without scheme and host it is right behind every proxy."""
        return self._prefix + (path.removeprefix(_API) if self._namespace else path)

    def told(self, name: str) -> str:
        """Write the name of a repository as the client knows it."""
        return self._namespace + name

    def known(self, name: str) -> str:
        """Read the name of a repository that a client wrote outside the path: no proxy has changed it."""
        return name.removeprefix(self._namespace)

    @property
    def _prefix(self) -> str:
        """What proxies removed from the client's path: everything before `/v2/`, or `/v2/team` if that became `/v2`."""
        return self.request.reached.prefix

    @property
    def _namespace(self) -> str:
        return namespace_of(self.request)


def namespace_of(request: BoundedRequest) -> str:
    """Return what proxies removed from the names of repositories, such as `team/`."""
    _, _, below = request.reached.prefix.partition(f"{_API}/")
    return f"{below}/" if below else ""
