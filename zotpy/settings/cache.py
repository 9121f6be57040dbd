"""Where a replica keeps bytes of blobs near."""

from dataclasses import dataclass
from pathlib import Path

from zotpy.core.units import MIB


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """`cache`: bytes of blobs on the replica's own disk, or in its memory."""

    directory: Path | None = None
    """A directory of this replica alone; `None`: nothing is kept on a disk."""
    size_bytes: int = 10 * 1024 * MIB
    """How much the files may hold together, at least 64 MiB; workers share it equally."""
    memory_bytes: int = 0
    """How much is kept in memory without a directory; workers share it equally. 0: nothing."""
