"""Every setting of a replica with its default; `docs/configuration.md` says what each is for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from zotpy.config.retention import RetentionSettings
from zotpy.core.units import MIB

HOLD_PER_DEADLINE = 0.9
"""A request is held for less than the deadline: after that it may not write what relies on what it has read."""
COLLECTIONS_PER_GRACE = 4
Level = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["auto", "json", "console"]


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the embedded store keeps its data by default (XDG base directories).

    If a user has no home, such as systemd's dynamic ones or a bare number, the directory is the machine's.
    """
    if base := environ.get("XDG_DATA_HOME"):
        return Path(base) / "zotpy"
    try:
        return Path.home() / ".local" / "share" / "zotpy"
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return Path("/var/lib/zotpy")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`http`: where the replica listens."""

    address: str = "127.0.0.1"
    port: int = 5000
    """0 to 65535; 0: any free port."""
    tls_cert: Path | None = None
    """PEM, with the chain. Give both `tls_cert` and `tls_key`, or neither."""
    tls_key: Path | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of the proxies in front, whose X-Forwarded-* headers are believed."""
    drain_timeout_s: float = 300.0
    """How long requests under way may take after SIGTERM."""
    drain_notice_s: float = 10.0
    """How long connections are still accepted after SIGTERM, if a balancer asks for `/readyz`; 0: not at all."""
    send_stall_timeout_s: float = 60.0
    """How long a client may take to read the next 64 KiB of an answer."""
    max_connections: int = 4096
    """How many clients are served at once, 16 to 1,000,000; fewer if descriptors would run out."""
    head_timeout_s: float = 30.0
    """How long a client may take for the head of a request, from its first byte."""
    head_memory_bytes: int = 16 * MIB
    """How much memory all unfinished heads of requests may hold together, at least 1 MiB."""
    max_ranges: int = 1024
    """How many ranges one GET may ask for, 1 to 4,096."""
    busy_timeout_s: float = 45.0
    """How long a request that can be repeated may wait for memory before it begins."""
    hold_timeout_s: float = 10.0
    """How long a request that brings no content is held if the store does not answer."""
    workers: int = 1
    """Processes that answer at the one address, 1 to 64; each is a replica with a memory budget of its own."""
    worker_timeout_s: float = 30.0
    """How long a worker may be silent before its supervisor considers it hung and replaces it, 1 to 3,600."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """`storage.storageDriver`: the bucket that all replicas share."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str | None = None
    """URL of the service, without a slash at its end; `None`: AWS in `region`."""
    root_directory: str = ""
    """Prefix of every key, without slashes at its ends."""
    force_path_style: bool = False
    """Put the bucket into the path of URLs, not into the host name."""
    use_fips_endpoint: bool = False
    """AWS's endpoints for FIPS 140."""
    use_dual_stack: bool = False
    """AWS's endpoints for IPv6 and IPv4."""
    skip_verify: bool = False
    """Accept any certificate of the service."""
    ca_bundle: Path | None = None
    """File with the certificates of authorities to trust, PEM; `None`: the public ones, or those of SSL_CERT_FILE."""
    access_key: str | None = None
    """Give both `access_key` and `secret_key`, or neither: then the usual AWS chain."""
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    create_bucket: bool = False
    """Create the bucket at start if it does not exist."""
    redirect: bool = False
    """Send pulls of large blobs to the service, with presigned URLs."""
    redirect_endpoint: str | None = None
    """URL by which clients reach the service; `None`: the same as `endpoint`."""
    redirect_expiry_s: float = 1200.0
    """How long presigned URLs last, 1 to 604,800."""
    disk: Path | None = None
    """Where the embedded store keeps its data, on this machine; `None`: the store is elsewhere. No file sets this."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """`storage`: an external bucket, or the embedded store's directory."""

    root_directory: Path = field(default_factory=default_root)
    """Where the embedded store keeps its data; not used beside `s3`."""
    reserved: float = 0.02
    """The share of the disk, 0 to 1, that pushes to the embedded store leave free."""
    redirect_blob_url: bool = False
    """zot's name for `s3.redirect`: either turns it on."""
    s3: S3Settings | None = None
    """`None`: the embedded store."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`log`: what is logged, how and where."""

    level: Level = "info"
    format: LogFormat = "auto"
    """`auto`: for people on a terminal, else JSON."""
    output: str = "stderr"
    """`stderr`, `stdout`, or the path of a file that is appended to."""


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


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`gcSettings`: what replicas and collectors of one bucket agree on."""

    grace_s: float = 24 * 3600.0
    """How long a lease protects what it names; at least ten times `deadline_s`."""
    deadline_s: float = 600.0
    """The longest time between reading a reference and writing what relies on it."""
    upload_ttl_s: float = 7 * 24 * 3600.0
    """How long an upload may rest before the collector ends it; at least `grace_s`."""
    calls_per_second: int = 500
    """Calls to the store that one collector makes at most, 1 to 100,000."""
    interval_s: float | None = None
    """How often the server collects by itself; 0: never. `None`: see `Settings.collection_interval_s`."""
    time_window: tuple[int, int] | None = None
    """zot's `storage.gcTimeWindow`: when a collection may begin, in minutes from midnight, UTC; may wrap."""
    pull_interval_s: float = 600.0
    """How often a replica writes down what was pulled, if a retention rule needs it."""


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


@dataclass(frozen=True, slots=True)
class ListSettings:
    """`lists`: how much one page of a list holds."""

    page_size: int = 1000
    """Tags or repositories on one page, 1 to 10,000, whatever a client asks for."""
    page_bytes: int = 1 * MIB
    """Descriptors of referrers on one page, 128 KiB to 3 MiB; one at least."""
    annotation_bytes: int = 32 * 1024
    """Annotations of one referrer in the list, 0 to 64 KiB; others are left out."""
    referrers_read: int = 4000
    """About how many referrers are read at most for one page, 250 to 100,000."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`extensions.metrics`: what Prometheus reads."""

    enable: bool = True
    path: str = "/metrics"
    """Absolute, and not one of the registry's own."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings were read, so that they can be read again."""

    file: Path | None
    overrides: Mapping[str, object]
    """From the command line, by path."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one replica."""

    http: HttpSettings = field(default_factory=HttpSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    log: LogSettings = field(default_factory=LogSettings)
    upload: UploadSettings = field(default_factory=UploadSettings)
    gc: GcSettings = field(default_factory=GcSettings)
    manifest: ManifestSettings = field(default_factory=ManifestSettings)
    lists: ListSettings = field(default_factory=ListSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    warnings: tuple[str, ...] = ()
    """What was configured and has no effect here. Each is one sentence that begins with the path."""
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def collection_interval_s(self) -> float:
        """How often the server collects by itself; 0: never.

        By default a server does so only with the embedded store, because nobody else does it there. It collects as
        often as the two steps of a collection need.
        """
        if self.gc.interval_s is not None:
            return self.gc.interval_s
        is_embedded = self.storage.s3 is None or self.storage.s3.disk is not None
        return self.gc.grace_s / COLLECTIONS_PER_GRACE if is_embedded else 0.0
