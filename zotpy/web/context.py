"""What a replica has for all its requests."""

from collections.abc import Callable
from dataclasses import dataclass, field

from zotpy.bucket.health import Health
from zotpy.mirror.mirror import Mirror
from zotpy.registry.registry import Registry
from zotpy.store.space import Space


@dataclass(frozen=True, slots=True)
class Context:
    """The registry, and what says how healthy it is."""

    registry: Registry
    health: Health
    metrics: Callable[[], bytes]
    """Renders the metrics of this replica."""
    space: Space = field(default_factory=Space)
    """Says whether the store has space for pushes."""
    mirror: Mirror | None = None
    """Fetches from other registries what is not here; `None`: none is configured."""
