"""The numbers that a collector and the replicas of its bucket agree on, and how hard it works."""

from dataclasses import dataclass, field

from zotpy.collector.retention.policies import Retention

DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """`grace_s` and `deadline_s` must not be less than those of any replica of the bucket."""

    grace_s: float = DAY_S
    """How long a lease protects what it names."""
    deadline_s: float = 600.0
    """The longest time between a replica's reading of a reference and its writing what relies on it."""
    upload_ttl_s: float = 7 * DAY_S
    """How long an upload may rest before it is ended; at least `grace_s`."""
    dry_run: bool = False
    """Count what would go, and delete nothing."""
    retention: Retention = field(default_factory=Retention)
    """What may go though nobody deleted it."""
    repositories_at_once: int = 8
    """Repositories that are looked at together, 1 or more."""
    calls_at_once: int = 16
    """Store calls for one repository at a time, 1 or more."""
    buffer_rows: int = 200_000
    """So many names are held in memory before a file on disk takes them."""
