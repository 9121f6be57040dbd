"""What a check found."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

Fate = Literal["left", "repaired"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    where: str
    """The repository, with a digest or a tag; or a key of the bucket."""
    what: str
    fate: Fate

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (" (repaired)" if self.fate == "repaired" else "")


@dataclass(slots=True)
class Report:
    """What was checked, and what was wrong."""

    repositories: int = 0
    manifests: int = 0
    blobs: int = 0
    tags: int = 0
    bytes_read: int = 0
    """Of large blobs, to compare their digests."""
    data_unnamed: int = 0
    """Data objects older than the grace that no lease names: the collector deletes them."""
    data_unnamed_bytes: int = 0
    restored: int = 0
    """Leases, entries and tags of a copied bucket that were made to count (`zotpy.inspection.restoring`)."""
    late: int = 0
    """Records that count for nothing, since they were written later than they say: those of a copied bucket all do."""
    problems: list[Problem] = field(default_factory=list)

    def has_read(self, size_bytes: int) -> None:
        """Count bytes of a large blob."""
        self.bytes_read += size_bytes

    @property
    def left(self) -> list[Problem]:
        """What was not repaired."""
        return [problem for problem in self.problems if problem.fate == "left"]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it by name, for JSON."""
        problems = [{"where": one.where, "what": one.what, "fate": one.fate} for one in self.problems]
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "problems": problems}
