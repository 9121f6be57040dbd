"""Where the bucket is, and how patient the client is."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from zotpy.http.sockets import SHARED_BYTES
from zotpy.s3.bucket_address import aws_bucket_url, bucket_at
from zotpy.s3.wire.retry import RetryPolicy
from zotpy.settings import S3Settings

LONGEST_OBJECT_BYTES = 24 * 1024 * 1024
"""The longest of our objects, except for manifests, is the state of an upload, with a tail of 16 MiB."""
_USUAL_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class S3Config(S3Settings):
    """One bucket of one S3 service; times in seconds."""

    checksums: bool = True
    """Send a CRC-32C with each body for the store to check, otherwise an MD5. A few services refuse the former."""
    max_connections: int = 128
    """Connections for calls that are read whole."""
    max_streams: int = 128
    """Further connections, for reads that are streamed."""
    sent_bytes: int = SHARED_BYTES
    """How much all long bodies on their way may leave with the system: twice as much, for up to 1,000 of them."""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    """The longest silence within an answer, or between two writes."""
    deadline_s: float = 60.0
    """How long one call may take at most with all its retries; for a streamed read: until it delivers again."""
    longest_object_bytes: int = LONGEST_OBJECT_BYTES
    """The longest object that is read whole."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def service(self) -> str:
        """Name the service to a person."""
        return self.endpoint or f"AWS in {self.region}"

    @property
    def bucket_url(self) -> str:
        """URL of the bucket, with its name in the host or in the path, without a slash at its end.

        Raises `S3Error` if AWS has none.
        """
        if self.endpoint is not None:
            return bucket_at(self.endpoint, self.bucket, path_style=self.force_path_style)
        return aws_bucket_url(
            self.bucket,
            self.region,
            path_style=self.force_path_style,
            fips=self.use_fips_endpoint,
            dual_stack=self.use_dual_stack,
        )

    @property
    def public_bucket_url(self) -> str:
        """URL of the bucket for the readers of presigned URLs, in the same style.

        The signature covers the Host header, so the host is as all clients write it there: in lower case, and without
        the default port.
        """
        url = self.bucket_url
        if self.redirect_endpoint is not None:
            url = bucket_at(self.redirect_endpoint, self.bucket, path_style=self.force_path_style)
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.lower().removesuffix(_USUAL_PORTS[parts.scheme])).geturl()
