"""Prometheus metrics of one replica, or of all workers on one port."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from zotpy.release import commit, version
from zotpy.telemetry.gauges import Gauges
from zotpy.telemetry.series import CacheSeries, MirrorSeries, RequestSeries, StoreSeries
from zotpy.telemetry.sharing import collector_of_all


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

    def render(self) -> bytes:
        """Write all series in Prometheus's text format."""
        if not self._is_shared:
            return generate_latest(self.registry)
        self.gauges.publish()
        return generate_latest(collector_of_all())
