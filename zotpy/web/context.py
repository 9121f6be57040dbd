"""What every handler has at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from zotpy.registry.health import Health
from zotpy.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Context:
    """The registry, and how this request's client reaches it."""

    registry: Registry
    health: Health
    metrics: Callable[[], bytes]
    """Renders the metrics of this replica."""
    prefix: str = ""
    """What stands before `/v2/` in the client's paths, where a proxy takes it away."""

    def path(self, path: str) -> str:
        """Write a path for Location or Link: without scheme and host, it is right behind every proxy."""
        return self.prefix + path
