"""The numbers that a collector and the replicas of its bucket agree on, and how hard it works."""

from collections.abc import Callable
from dataclasses import dataclass, field

from zotpy.settings import GcSettings, RetentionSettings


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """What replicas and collectors agree on, what is deleted by rules, and how one collector works."""

    gc: GcSettings = field(default_factory=GcSettings)
    """Its times must not be shorter than those of any replica of the bucket."""
    dry_run: bool = False
    """Count what would be deleted, and delete nothing."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    """What may be deleted although no client deleted it."""
    is_immutable: Callable[[str, str], bool] = lambda *_: False
    """Say whether a tag, the second, of a repository stays whatever `retention` says."""
    repositories_at_once: int = 8
    """How many repositories are checked at once, 1 or more."""
    calls_at_once: int = 16
    """Store calls for one repository at a time, 1 or more."""
    buffer_rows: int = 200_000
    """How many names are held in memory before a file on disk takes them."""
