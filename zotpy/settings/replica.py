"""How a replica serves, logs and is measured."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from zotpy.core.units import MIB
from zotpy.settings.access import AccessSettings

Level = Literal["debug", "info", "warn", "error"]
TlsVersion = Literal["1.2", "1.3"]
LogFormat = Literal["auto", "json", "console"]


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`http`: where the replica listens."""

    address: str = "127.0.0.1"
    port: int = 5000
    """0 to 65535; 0: any free port."""
    tls_cert: Path | None = None
    """PEM, with the chain. Give both `tls_cert` and `tls_key`, or neither."""
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """PEM: the authorities that may have signed the certificates of clients. `None`: clients are asked for none."""
    tls_min_version: TlsVersion = "1.2"
    """The oldest version of TLS that clients may speak."""
    access: AccessSettings | None = None
    """Who may do what; `None`: every caller that is let in may do everything."""
    external_url: str = ""
    """How clients reach the registry, without a slash at the end; empty: as each request says."""
    realm: str = "Authorization Required"
    """What clients are told that they log in to."""
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
    paced_reads: int = 64
    """How many ranges may go from the store at their clients' pace; fewer than the store has connections for reads.

    No file sets this.
    """


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`log`: what is logged, how and where."""

    level: Level = "info"
    format: LogFormat = "auto"
    """`auto`: for people on a terminal, else JSON."""
    output: str = "stderr"
    """`stderr`, `stdout`, or the path of a file that is appended to."""
    audit: str | None = None
    """The same, for who did what; `None`: nowhere."""
    audit_pulls: bool = False
    """Whether reads that are allowed are noted there, too."""
    audit_memory_bytes: int = 8 * MIB
    """How much memory lines of the audit log may take that the disk has not taken yet, at least 64 KiB."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`extensions.metrics`: what Prometheus reads."""

    enable: bool = True
    path: str = "/metrics"
    """Absolute, and not one of the registry's own."""
