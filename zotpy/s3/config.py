"""Where the bucket is, and how patient to be."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from zotpy.s3.wire.retry import RetryPolicy

LONGEST_OBJECT_BYTES = 64 * 1024 * 1024
"""The longest of ours, but for manifests, is the state of an upload, with a tail of 16 MiB."""
_USUAL_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class S3Config:
    """One bucket of one S3 service; times in seconds."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str | None = None
    """URL of the service; `None`: AWS, in `region`."""
    public_endpoint: str | None = None
    """URL of the service in presigned URLs, whose readers may know it by another name; `None`: as `endpoint`."""
    path_style: bool = False
    """The bucket stands in the path, not in the host name."""
    verify_tls: bool = True
    ca_bundle: Path | None = None
    """Certificates of authorities to trust, PEM; `None`: the public ones, or those of SSL_CERT_FILE."""
    access_key: str | None = None
    """Without keys: the usual AWS chain."""
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    checksums: bool = True
    """Send a CRC-32C with each body for the store to check, else an MD5; a few services refuse the former."""
    max_connections: int = 128
    """For calls that are read whole."""
    max_streams: int = 128
    """Further connections, for reads that are streamed."""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    """The longest silence within an answer, or between two writes."""
    deadline_s: float = 60.0
    """The longest that one call may take with all its retries; for a streamed read: until it delivers again."""
    longest_object_bytes: int = LONGEST_OBJECT_BYTES
    """The longest object that is read whole."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def service_url(self) -> str:
        """URL of the service, without a slash at its end."""
        return (self.endpoint or f"https://s3.{self.region}.amazonaws.com").rstrip("/")

    @property
    def bucket_url(self) -> str:
        """URL of the bucket, with its name in the host or in the path, without a slash at its end."""
        return self._bucket_at(self.service_url)

    @property
    def public_bucket_url(self) -> str:
        """URL of the bucket for the readers of presigned URLs, in the same style.

        The host is as all of them write it in the Host header, which is signed: in lower case, without a port that
        goes without saying.
        """
        url = urlsplit(self._bucket_at((self.public_endpoint or self.service_url).rstrip("/")))
        return url._replace(netloc=url.netloc.lower().removesuffix(_USUAL_PORTS[url.scheme])).geturl()

    def _bucket_at(self, service_url: str) -> str:
        if self.path_style:
            return f"{service_url}/{self.bucket}"
        url = urlsplit(service_url)
        return url._replace(netloc=f"{self.bucket}.{url.netloc}").geturl()
