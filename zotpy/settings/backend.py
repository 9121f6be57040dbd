"""Where the bucket is: at a service, or in a directory of this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
    join_reads: bool = True
    """Requests that read the same tag or entry, and wait at one replica, share the next call to the store."""
    promised_life_s: float = 0.0
    """For how long replicas may answer for blobs and manifests by digest from memory, 0 to 10; 0: not at all."""
    s3: S3Settings | None = None
    """`None`: the embedded store."""

    @property
    def redirect_expiry_s(self) -> int | None:
        """How long the URLs of redirected pulls last; `None`: no pull is redirected.

        Clients cannot reach the embedded store.
        """
        if self.s3 is None or not (self.s3.redirect or self.redirect_blob_url):
            return None
        return int(self.s3.redirect_expiry_s)
