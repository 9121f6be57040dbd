"""Prometheus metrics of one replica, or of all workers on one port."""

from threading import Lock

import trio
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from zotpy.release import commit, version
from zotpy.telemetry.gauges import Gauges
from zotpy.telemetry.series import CacheSeries, MirrorSeries, RequestSeries, StoreSeries
from zotpy.telemetry.sharing import collector_of_all

PUBLISH_INTERVAL_S = 1.0
"""How old what another worker has counted may be, and its gauges."""


class Metrics:
    """The metrics of one process.

    If shared, they are shown with those of all workers (see `zotpy.telemetry.sharing`).
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._is_shared = is_shared
        build = Gauge(
            "zotpy_build_info",
            "1, with the version and the commit of this replica.",
            ("version", "commit"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        build.labels(version(), commit()).set(1)
        self.requests = RequestSeries(self.registry)
        self.store = StoreSeries(self.registry)
        self.cache = CacheSeries(self.registry)
        self.mirror = MirrorSeries(self.registry)
        self.gauges = Gauges(self.registry, is_shared=is_shared)
        self._publishing = Lock()

    def render(self) -> bytes:
        """Write all series in Prometheus's text format. A thread may do it."""
        self.publish()
        return generate_latest(collector_of_all() if self._is_shared else self.registry)

    def publish(self) -> None:
        """Show what was counted, and the gauges if other workers read them."""
        with self._publishing:
            self.requests.show()
            self.store.show()
            self.gauges.publish()

    async def keep_published(self) -> None:
        """Publish every second, until cancelled. Without other workers do nothing: `render` does."""
        while self._is_shared:
            self.publish()
            await trio.sleep(PUBLISH_INTERVAL_S)

    async def publish_last(self) -> None:
        """Show what was counted until the end: another process goes on with it."""
        self.publish()
