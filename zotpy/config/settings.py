"""Every setting of a replica; `docs/configuration.md` says what each is for."""

import os
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


def default_root() -> Path:
    """Return where the embedded store keeps its data unless told otherwise (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "zotpy"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`http`: where the replica listens."""

    address: str = "127.0.0.1"
    port: int = 5000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-Prefix is believed."""
    drain_timeout_s: float = 300.0
    """How long requests under way may take after SIGTERM."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """`storage.storageDriver`: the bucket that all replicas share."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str | None = None
    """URL; `None`: AWS in `region`."""
    root_directory: str = ""
    """Prefix of every key."""
    force_path_style: bool = False
    skip_verify: bool = False
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    create_bucket: bool = False


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """`storage`: an external bucket, or the embedded store's directory."""

    root_directory: Path = field(default_factory=default_root)
    s3: S3Settings | None = None


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`log`."""

    level: str = "info"
    format: str = "json"
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """`upload`: parts and memory."""

    part_size_bytes: int = 8 * MIB
    parts_in_flight: int = 4
    memory_budget_bytes: int = 512 * MIB
    body_stall_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`gcSettings`: what replicas and collectors agree on."""

    grace_s: float = 24 * 3600.0
    deadline_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """`manifest`."""

    max_size_bytes: int = 8 * MIB
    allow_sparse_indexes: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one replica."""

    http: HttpSettings = field(default_factory=HttpSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    log: LogSettings = field(default_factory=LogSettings)
    upload: UploadSettings = field(default_factory=UploadSettings)
    gc: GcSettings = field(default_factory=GcSettings)
    manifest: ManifestSettings = field(default_factory=ManifestSettings)
    warnings: tuple[str, ...] = ()
    """What the file says that has no effect here."""
