"""A proxy before the store that makes it as slow as one at a distance."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.servers.processes import Process, accepts, free_port
from bench.servers.registries import CHECKOUT
from bench.servers.stores import Bucket


@dataclass(frozen=True)
class Shape:
    """How slow the store is."""

    delay_ms: float
    """Before each call is forwarded."""
    rate_mb_per_s: float | None = None
    """Of each connection, in units of 10^6 bytes; `None`: as fast as it comes."""

    def __str__(self) -> str:
        rate = "" if self.rate_mb_per_s is None else f", {self.rate_mb_per_s:g} MB/s a connection"
        return f"{self.delay_ms:g} ms a call{rate}"


class ShapingProxy:
    """One proxy process with one shape."""

    def __init__(self, bucket: Bucket, shape: Shape, directory: Path) -> None:
        """Prepare it before the bucket's store; nothing is started yet."""
        self._port = free_port()
        self.bucket = replace(bucket, endpoint=f"http://127.0.0.1:{self._port}")
        command: list[str | Path] = [sys.executable, "-m", "bench.servers.relay"]
        command += ["--upstream", urlsplit(bucket.endpoint).netloc, "--port", str(self._port)]
        command += ["--delay-ms", f"{shape.delay_ms:g}"]
        if shape.rate_mb_per_s is not None:
            command += ["--rate-mb", f"{shape.rate_mb_per_s:g}"]
        self.process = Process("proxy", command, directory / "proxy.log", cwd=CHECKOUT)

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self._port))
