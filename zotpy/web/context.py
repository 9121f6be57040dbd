"""What every handler has at hand."""

from collections.abc import Callable
from dataclasses import dataclass, field

from zotpy.bucket.health import Health
from zotpy.registry.registry import Registry
from zotpy.store.space import Space

_API = "/v2"


@dataclass(frozen=True, slots=True)
class Context:
    """The registry, and how this request's client reaches it."""

    registry: Registry
    health: Health
    metrics: Callable[[], bytes]
    """Renders the metrics of this replica."""
    space: Space = field(default_factory=Space)
    """Says whether the store has room for pushes."""
    prefix: str = ""
    """What proxies took away from the client's path: all before `/v2/`, or `/v2/team` where that became `/v2`."""

    def path(self, path: str) -> str:
        """Write a path for Location or Link: without scheme and host, it is right behind every proxy."""
        return self.prefix + (path.removeprefix(_API) if self._namespace else path)

    def told(self, name: str) -> str:
        """Write the name of a repository as the client knows it."""
        return self._namespace + name

    def known(self, name: str) -> str:
        """Read the name of a repository that a client wrote elsewhere than in the path: no proxy has changed it."""
        return name.removeprefix(self._namespace)

    @property
    def _namespace(self) -> str:
        """What proxies took away from the names of repositories, such as `team/`."""
        _, _, below = self.prefix.partition(f"{_API}/")
        return f"{below}/" if below else ""
