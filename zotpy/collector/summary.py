"""What a collection did, for people, scripts and metrics."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expiration:
    """Something that goes, or would, because of a retention rule."""

    repository: str
    what: str
    """The tag, or the digest of the manifest."""
    reason: str

    def __str__(self) -> str:
        return f"{self.repository} {self.what}: {self.reason}"


@dataclass(slots=True)
class Summary:
    """Counts of one collection; in a dry run of what it would have deleted."""

    dry_run: bool = False
    repositories: int = 0
    """Repositories looked at."""
    leases: int = 0
    """Leases looked at."""
    manifests_read: int = 0
    retention_dry_run: bool = False
    """Of retention alone: what it lets go is counted and told of, and stays."""
    tags_expired: int = 0
    """Tags that a retention rule let go."""
    manifests_expired: int = 0
    """Manifests that a retention rule let go: untagged ones, and referrers."""
    manifests_held: int = 0
    """Manifests that a rule would let go, but not on a store without conditional writes."""
    records_deleted: int = 0
    """Blobs that no manifest named, and records that had been deleted by requests."""
    leases_deleted: int = 0
    data_objects: int = 0
    """Data objects looked at."""
    data_retired: int = 0
    """Data objects that nothing names: a later collection deletes them, if nothing does then either."""
    data_retired_bytes: int = 0
    data_deleted: int = 0
    data_deleted_bytes: int = 0
    notes_void: int = 0
    """Notes of an earlier collection that came too long ago to count: the data is retired anew."""
    hints_deleted: int = 0
    uploads_ended: int = 0
    multiparts_aborted: int = 0
    tags_deleted: int = 0
    """Tags of deleted manifests, whose DELETE broke off."""
    markers_deleted: int = 0
    """Markers of tags that have moved on."""
    referrers_deleted: int = 0
    repositories_emptied: int = 0
    """Repositories in which nothing is left, taken out of the catalog."""
    problems: list[str] = field(default_factory=list)
    """What could not be looked at, each in a sentence; nothing of it was deleted."""

    @property
    def deletions(self) -> int:
        """How many objects went, or would go."""
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
