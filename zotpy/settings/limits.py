"""What one request may bring or ask for, and what all of them may hold."""

from dataclasses import dataclass

from zotpy.core.manifest_facts import ManifestLimits
from zotpy.core.units import KIB, MIB


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """`upload`: parts and memory."""

    part_size_bytes: int = 8 * MIB
    """5 MiB to 5 GiB; S3 takes at most 10,000 parts, so those of longer blobs are longer."""
    parts_in_flight: int = 6
    """How many parts of this length one upload sends at once, 1 to 64; fewer if parts are longer."""
    memory_budget_bytes: int = 512 * MIB
    """What all bodies under way may hold together; at least four parts. It bounds the longest part."""
    body_stall_timeout_s: float = 60.0
    """How long a client may take for the next part of a body that holds memory for which others wait."""
    body_idle_timeout_s: float = 900.0
    """How long a client may take for the next 64 KiB of any other body, or its end; at least `body_stall_timeout_s`."""
    hold_timeout_s: float = 540.0
    """How long a request with a body is held if the store does not answer; at most nine tenths of the deadline."""
    checkpoint_bytes: int = 256 * MIB
    """After how many bytes of one chunk what was sent is made safe, although the chunk goes on. No file sets this."""
    mount_without_source: bool = True
    """Answer `?mount=` without `from` from any repository; otherwise such a mount begins an upload.

    No file sets this.
    """


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """`manifest`: what manifests are accepted."""

    max_size_bytes: int = 4 * MIB
    """At least 4 MiB, as the OCI spec asks; some clients, oras among them, cannot pull longer ones."""
    max_references: int = 4_000
    """Blobs and manifests that one manifest may reference, 128 to 20,000."""
    max_values: int = 50_000
    """JSON values that one manifest may hold, 10,000 to 1,000,000. Their number decides how long parsing takes."""
    max_tags: int = 20
    """`?tag=` that one push may have, 10 to 80: each is a header of the answer."""
    allow_sparse_indexes: bool = False
    """Accept an index if some of its child manifests are not in the repository."""

    @property
    def limits(self) -> ManifestLimits:
        """What a pushed manifest may hold besides its length."""
        return ManifestLimits(self.max_references, self.max_values)


@dataclass(frozen=True, slots=True)
class ListSettings:
    """`lists`: how much one page of a list holds."""

    page_size: int = 10_000
    """Tags or repositories on one page, 1 to 10,000, whatever a client asks for. Some clients read no second page."""
    page_bytes: int = 1 * MIB
    """Descriptors of referrers on one page, 128 KiB to 3 MiB; one at least."""
    annotation_bytes: int = 32 * KIB
    """Annotations of one referrer in the list, 0 to 64 KiB; others are left out."""
    referrers_read: int = 4000
    """About how many referrers are read at most for one page, 250 to 100,000."""
    catalog_read: int = 100_000
    """About how many repositories are looked at for one page of those that a caller may read, 1,000 to 10,000,000."""
