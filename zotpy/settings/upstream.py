"""How another registry is reached: the upstream of a mirror, or the source of an import."""

from dataclasses import dataclass, field
from pathlib import Path

from zotpy.core.units import MIB


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """One upstream registry."""

    url: str
    """Such as `https://registry.example`. A path is a prefix of the names of its repositories."""
    username: str = ""
    """For Basic, and for its token service; empty: no login."""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """A token that is sent as it is, instead of a login."""
    tls_verify: bool = True
    """Whether its certificate must be good."""
    certificates: Path | None = None
    """A directory as those in docker's certs.d: `*.crt` are authorities, `NAME.cert` and `NAME.key` are our own."""
    retries: int = 0
    """How often a request is repeated if the upstream does not answer as it should, 0 or more."""
    retry_delay_s: float = 1.0
    """How long to wait before the first repetition. The wait doubles, up to `longest_retry_delay_s`."""
    longest_retry_delay_s: float = 60.0
    """The longest wait. If the upstream asks for a longer one with Retry-After, nothing is repeated."""
    requests_in_flight: int = 3
    """How many requests to this upstream run at once, 1 or more. A blob counts until it was read."""
    requests_per_second: float | None = None
    """How many requests begin in a second; `None`: no limit."""
    longest_manifest_bytes: int = 4 * MIB
    """Longer manifests are refused."""
    head_timeout_s: float = 30.0
    """How long the head of an answer may take, from the connection on."""
    stall_timeout_s: float = 60.0
    """How long the next 64 KiB of a blob may take, and a whole manifest or list."""
