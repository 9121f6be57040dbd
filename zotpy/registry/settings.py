"""The numbers that shape the registry's behaviour."""

from dataclasses import dataclass

from zotpy.bucket.times import Times
from zotpy.core.manifest_facts import ManifestLimits
from zotpy.core.units import KIB, MIB


@dataclass(frozen=True, slots=True)
class RegistrySettings(Times):
    """Limits and times; every replica of a bucket should have the same."""

    part_size_bytes: int = 8 * MIB
    """Length of the parts of uploads up to some GiB, and the least of others; at least 5 MiB on AWS."""
    parts_in_flight: int = 6
    """How many parts of this length of one upload are sent at once; fewer longer ones."""
    checkpoint_bytes: int = 256 * MIB
    """After so many bytes of one chunk what was sent is made safe, though the chunk goes on."""
    hold_s: float = 540.0
    """How long a request with a body is held while the store stumbles; less than `deadline_s`. 0: not at all."""
    short_hold_s: float = 10.0
    """The same of a request that reads, or begins an upload."""
    manifest_limit_bytes: int = 4 * MIB
    """Longer manifests are refused; some clients, oras among them, cannot pull more than 4 MiB."""
    manifest_references: int = 4_000
    """How many blobs and manifests one manifest may reference: each costs a store call."""
    manifest_values: int = 50_000
    """How many JSON values one manifest may hold: they say how long parsing takes."""
    tags_limit: int = 20
    """How many `?tag=` one push of a manifest may have; the spec asks for 10 at least."""
    allow_sparse_indexes: bool = False
    """Accept an index whose child manifests are not (all) in the repository."""
    ranges_limit: int = 1024
    """How many ranges one GET may ask for: each may cost a store call. containers/storage asks for 1,024 at most."""
    list_page_size: int = 1000
    """Tags or repositories on one page of a list, whatever a client asks for; a store call for each 1,000."""
    list_page_bytes: int = MIB
    """Descriptors of referrers on one page; one at least. Some clients, oras among them, read no more than 4 MiB."""
    listed_annotation_bytes: int = 32 * KIB
    """Annotations of one referrer in the list of them; others are left out."""
    referrers_read: int = 4000
    """Referrers that are read, at most about, to find some of an artifact type for one page."""
    mount_without_source: bool = True
    """Answer `?mount=` without `from` from any repository; else such a mount begins an upload."""
    body_stall_s: float = 60.0
    """How long a client whose body holds memory that others wait for may take to send the next piece of it."""
    body_idle_s: float = 900.0
    """How long a client may take to send the next 64 KiB of a body, or its end, if nobody waits for what it holds."""
    paced_reads: int = 64
    """How many ranges may go from the store at their clients' pace; fewer than the store has connections for reads."""
    pull_interval_s: float | None = None
    """How often it is written down what was pulled; `None`: no retention rule asks."""
    redirect_expiry_s: int | None = None
    """How long the presigned URLs last to which pulls of large blobs are redirected, 1 to 604,800; `None`: none are."""

    @property
    def manifest_limits(self) -> ManifestLimits:
        """What a pushed manifest may hold besides its length."""
        return ManifestLimits(self.manifest_references, self.manifest_values)
