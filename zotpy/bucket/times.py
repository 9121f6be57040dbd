"""The two times on which the replicas and the collectors of one bucket agree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """What protects a record on which a request relies; the same for every replica and collector of a bucket."""

    grace_s: float = 24 * 3600.0
    """How long a lease protects what it names; at least ten times `deadline_s`."""
    deadline_s: float = 600.0
    """The longest time between reading a reference and writing what relies on it."""
