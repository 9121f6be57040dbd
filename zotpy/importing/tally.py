"""What an import has done so far."""

from dataclasses import asdict, dataclass, field
from typing import Any

MOST_PROBLEMS = 1000
"""How many problems are named. The others are only counted."""


@dataclass(slots=True)
class Tally:
    """Counts, which may be read while the import runs."""

    repositories: int = 0
    tags_copied: int = 0
    tags_unchanged: int = 0
    """Tags that name the same manifest here already."""
    tags_kept: int = 0
    """Tags that clients have pushed here: a mirror does not replace them."""
    tags_unsigned: int = 0
    """Tags without a signature, if only signed ones are copied."""
    tags_gone: int = 0
    """Tags that were deleted at the source while the import ran."""
    manifests_copied: int = 0
    manifests_present: int = 0
    referrers_copied: int = 0
    """Manifests with a subject, such as signatures, that no tag led to."""
    blobs_copied: int = 0
    blobs_present: int = 0
    blobs_mounted: int = 0
    """Blobs that another repository here had: no bytes were transferred."""
    bytes_copied: int = 0
    hints: list[str] = field(default_factory=list)
    """What to do if nothing was found, or something was refused: a sentence for each source."""
    problems: list[str] = field(default_factory=list)
    problems_unnamed: int = 0
    failures: list[str] = field(default_factory=list)
    """Why the run, or what it did with one of the sources, did not come to its end."""

    @property
    def tags_seen(self) -> int:
        """How many tags were wanted, whatever became of them."""
        return self.tags_copied + self.tags_unchanged + self.tags_kept + self.tags_unsigned + self.tags_gone

    def add_problem(self, what: str) -> None:
        """Note what could not be copied."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(what)
        else:
            self.problems_unnamed += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as they are written in JSON."""
        return asdict(self)
