"""The numbers that a collector and the replicas of its bucket agree on, and how hard it works."""

from dataclasses import dataclass, field

from zotpy.bucket.times import Times
from zotpy.collector.retention.policies import Retention

DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class CollectorSettings(Times):
    """Its times must not be shorter than those of any replica of the bucket."""

    upload_ttl_s: float = 7 * DAY_S
    """How long an upload may rest before it is deleted; at least `grace_s`."""
    dry_run: bool = False
    """Count what would be deleted, and delete nothing."""
    retention: Retention = field(default_factory=Retention)
    """What may be deleted although no client deleted it."""
    repositories_at_once: int = 8
    """How many repositories are checked at once, 1 or more."""
    calls_at_once: int = 16
    """Store calls for one repository at a time, 1 or more."""
    buffer_rows: int = 200_000
    """How many names are held in memory before a file on disk takes them."""
