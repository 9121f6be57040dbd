"""A replica of two workers behind the balancer: its workers and its supervisor are killed under pushes."""

from __future__ import annotations

import json
import os
import signal
import uuid
from typing import TYPE_CHECKING

from bench.servers.processes import accepts
from tests.blackbox.supervised import Supervised
from tests.failover.edge import WatchedEdge
from tests.failover.small import SmallImages
from tests.processes import has_ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Bucket

PUSHES_BETWEEN = 10


def test_pushes_outlive_workers_and_their_supervisor(bucket: Bucket, tmp_path: Path) -> None:
    """All that was acknowledged is whole, and a new supervisor gets the port at once, however long the notice is.

    Workers whose supervisor was killed give the balancer none: they hold the port that the next supervisor wants.
    """
    supervised = Supervised(tmp_path, bucket, f"failover/{uuid.uuid4().hex}")
    file = tmp_path / "workers.json"
    settings = json.loads(file.read_text())
    settings["http"]["drainNotice"] = "1h"
    file.write_text(json.dumps(settings))
    edge = WatchedEdge([supervised.port], tmp_path)
    small = SmallImages(edge.port)
    try:
        supervised.start()
        edge.start()
        with small.being_pushed():
            for worker, pid in supervised.pids().items():
                small.wait_for_more(PUSHES_BETWEEN)
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda w=worker, p=pid: supervised.pids()[w] != p, "the worker was started again")  # type: ignore[misc] # bound at once
            small.wait_for_more(PUSHES_BETWEEN)
            orphans = supervised.processes()
            supervised.process.kill()
            wait_until(lambda: not accepts(supervised.port), "nobody listens at the port")
            supervised.process.start(lambda: len(supervised.events("serving")) > 1)
            edge.wait_for("UP")
            small.wait_for_more(PUSHES_BETWEEN)
        wait_until(lambda: all(map(has_ended, orphans)), "the workers of the first supervisor have ended")
        small.read_back(supervised.port)
    finally:
        supervised.process.kill()
        edge.stop()
