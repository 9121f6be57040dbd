"""Three replicas of zotpy behind the HAProxy of `deploy/baremetal`, on one prefix of one bucket."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.blackbox.balancer import answers
from tests.blackbox.cluster import replica_settings
from tests.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

REPLICAS = 3


@contextmanager
def replicas(bucket: Bucket, prefix: str, directory: Path) -> Iterator[list[int]]:
    """Run replicas that believe the proxies of this machine, and return their ports."""
    ports = [free_port() for _ in range(REPLICAS)]
    with ExitStack() as running:
        for port in ports:
            settings = replica_settings(port, bucket, prefix, directory, {})
            settings["http"]["trustedProxies"] = ["127.0.0.0/8"]
            file = directory / f"{port}.json"
            file.write_text(json.dumps(settings))
            command: list[str | Path] = [sys.executable, "-m", "zotpy", "serve", "-c", file]
            replica = Process(f"replica {port}", command, directory / f"{port}.log")
            running.callback(replica.stop)
            replica.start(lambda port=port: answers(f"http://127.0.0.1:{port}"))  # type: ignore[misc]
        yield ports
