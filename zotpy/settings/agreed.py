"""What the replicas and the collectors of one bucket agree on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`gcSettings`: what replicas and collectors of one bucket agree on."""

    grace_s: float = 24 * 3600.0
    """How long a lease protects what it names; at least ten times `deadline_s`."""
    deadline_s: float = 600.0
    """The longest time between reading a reference and writing what relies on it."""
    upload_ttl_s: float = 7 * 24 * 3600.0
    """How long an upload may rest before the collector ends it; at least `grace_s`."""
    calls_per_second: int = 500
    """Calls to the store that one collector makes at most, 1 to 100,000."""
    interval_s: float | None = None
    """How often the server collects by itself; 0: never. `None`: see `Settings.collection_interval_s`."""
    time_window: tuple[int, int] | None = None
    """zot's `storage.gcTimeWindow`: when a collection may begin, in minutes from midnight, UTC; may wrap."""
    pull_interval_s: float = 600.0
    """How often a replica writes down what was pulled, if a retention rule needs it."""
