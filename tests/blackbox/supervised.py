"""One zotpy with several workers on one port, and a way to choose which of them answers."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tests.blackbox.cluster import replica_settings
from tests.blackbox.registry_api import http_client
from tests.processes import Process, descendants, free_port, state_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx

    from tests.servers import Bucket

WORKERS = 2


class Supervised:
    """A zotpy with two workers."""

    def __init__(
        self,
        directory: Path,
        bucket: Bucket | None = None,
        prefix: str = "",
        more: Mapping[str, object] | None = None,
        **storage: object,
    ) -> None:
        """Write the settings, `storage` in place of those of the bucket; without a bucket the store is on this disk.

        `more` has other sections.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        settings: dict[str, Any] = {
            "http": {"port": self.port},
            "storage": {"rootDirectory": str(directory / "root")},
        }
        if bucket is not None:
            settings |= replica_settings(self.port, bucket, prefix, directory, storage)
        settings |= more or {}
        file = directory / "workers.json"
        file.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "zotpy", "serve", "-c", str(file), "--workers", str(WORKERS)]
        env = {**os.environ, "TMPDIR": str(self.temporary)}
        self.process = Process("workers", command, directory / "workers.log", env)

    def start(self) -> None:
        """Start it and wait until every worker listens."""
        self.process.start(lambda: bool(self.events("serving")))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name in the log."""
        lines = self.process.log_tail(limit=100_000_000).splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == name]

    def pids(self) -> dict[int, int]:
        """Return the process id with which each worker was started last."""
        return {event["worker"]: event["pid"] for event in self.events("worker started")}

    def processes(self) -> list[int]:
        """Return the process ids of all that runs now."""
        return [self.process.pid, *descendants(self.process.pid)]

    @contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """Stop all other workers for the block, so that new connections are this one's."""
        others = [pid for index, pid in self.pids().items() if index != worker]
        try:
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: all(state_of(pid) == "T" for pid in others), "the other workers have stopped")
            yield
        finally:
            for pid in others:
                with suppress(ProcessLookupError):  # the test has killed it
                    os.kill(pid, signal.SIGCONT)


@contextmanager
def connected(registry: Supervised, worker: int) -> Iterator[httpx.Client]:
    """Return a client whose connection this worker has accepted."""
    with http_client(registry.url) as client:
        with registry.only(worker):
            client.get("/v2/").raise_for_status()
        yield client
