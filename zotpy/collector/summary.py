"""What a collection did, for people, scripts and metrics."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expiration:
    """Something that a retention rule deletes, or would delete."""

    repository: str
    what: str
    """The tag, or the digest of the manifest."""
    reason: str

    def __str__(self) -> str:
        return f"{self.repository} {self.what}: {self.reason}"


@dataclass(slots=True)
class Summary:
    """Counts of one collection; in a dry run the counts of what it would have deleted."""

    dry_run: bool = False
    repositories: int = 0
    """Repositories that were checked."""
    leases: int = 0
    """Leases that were checked."""
    manifests_read: int = 0
    retention_dry_run: bool = False
    """Of retention alone: what it would delete is counted and reported, and stays."""
    tags_expired: int = 0
    """Tags that retention deleted."""
    manifests_expired: int = 0
    """Manifests that retention deleted: untagged ones, and referrers."""
    manifests_held: int = 0
    """Manifests that a rule does not keep, but that stay because the store has no conditional writes."""
    records_deleted: int = 0
    """Blobs that no manifest named, and records that had been deleted by requests."""
    leases_deleted: int = 0
    data_objects: int = 0
    """Data objects that were checked."""
    data_retired: int = 0
    """Data objects that nothing names: a later collection deletes them, if nothing does then either."""
    data_retired_bytes: int = 0
    data_deleted: int = 0
    data_deleted_bytes: int = 0
    notes_void: int = 0
    """Notes of an earlier collection that are too old to count: the data is noted anew."""
    hints_deleted: int = 0
    uploads_ended: int = 0
    multiparts_aborted: int = 0
    tags_deleted: int = 0
    """Tags of deleted manifests, whose DELETE broke off."""
    markers_deleted: int = 0
    """Markers of tags that name another manifest now."""
    referrers_deleted: int = 0
    repositories_emptied: int = 0
    """Empty repositories that were removed from the catalog."""
    problems: list[str] = field(default_factory=list)
    """What could not be checked, each in a sentence; nothing of it was deleted."""

    @property
    def deletions(self) -> int:
        """How many objects were deleted, or would be."""
        return (
            self.tags_expired
            + self.manifests_expired
            + self.leases_deleted
            + self.records_deleted
            + self.data_deleted
            + self.hints_deleted
            + self.uploads_ended
            + self.multiparts_aborted
            + self.tags_deleted
            + self.markers_deleted
            + self.referrers_deleted
            + self.repositories_emptied
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all counts by name, for JSON."""
        return asdict(self)
