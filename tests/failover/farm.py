"""Replicas on one bucket behind the HAProxy of `deploy/baremetal`, to be killed and restarted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.blackbox.cluster import Replica
from tests.failover.edge import WatchedEdge
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Bucket

DRAIN_DEADLINE_S = 150.0
SETTINGS = {
    "http": {"drainNotice": "5s", "drainTimeout": "2m"},
    "upload": {"partSize": "5MiB", "bodyStallTimeout": "5m"},
    "log": {"level": "warn"},
}
"""The balancer's rules promise to take a replica out within 1.5 s. Bodies may be held back for some restarts."""


class FarmReplica(Replica):
    """One replica, named as the balancer names it."""

    def __init__(self, index: int, bucket: Bucket, prefix: str, directory: Path) -> None:
        """Write the settings; nothing is started yet."""
        super().__init__(index, bucket, prefix, directory)
        self.name = f"replica{index}"
        self.configure(SETTINGS)

    def drain(self) -> None:
        """Tell it to leave, as systemd and Kubernetes do."""
        os.kill(self.process.pid, signal.SIGTERM)


class Farm:
    """Replicas, and the balancer before them."""

    def __init__(self, bucket: Bucket, prefix: str, directory: Path, replicas: int) -> None:
        """Write all settings; nothing is started yet."""
        self.replicas = [FarmReplica(index, bucket, prefix, directory) for index in range(1, replicas + 1)]
        self.edge = WatchedEdge([replica.port for replica in self.replicas], directory)

    def named(self, name: str) -> FarmReplica:
        """Return the replica that the balancer calls so."""
        (found,) = (replica for replica in self.replicas if replica.name == name)
        return found

    def start(self) -> None:
        """Start all of it and wait until every replica gets requests."""
        for replica in self.replicas:
            replica.start()
        self.edge.start()

    def stop(self) -> None:
        """End all of it at once."""
        for replica in self.replicas:
            replica.process.kill()
        self.edge.stop()

    def revive(self) -> None:
        """Start whichever replica does not run, and wait until every one gets requests."""
        for replica in self.replicas:
            if not replica.process.is_running:
                replica.start()
        self.edge.wait_for(*["UP"] * len(self.replicas))

    def restart(self, replica: FarmReplica, when_out: Callable[[], object] = lambda: None) -> None:
        """Drain a replica, see the balancer take it out before it ends, which must be in order, and start it again."""
        replica.drain()
        wait_until(lambda: not self.edge.is_up(replica.name), f"the balancer has taken {replica.name} out")
        assert replica.process.is_running
        when_out()
        assert replica.process.ended(DRAIN_DEADLINE_S) == 0
        self.revive()
