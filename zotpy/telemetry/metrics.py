"""Prometheus metrics of one replica, or of all workers on one port: requests, store calls, memory.

Label values come from closed sets (methods, route rules, operation names, status codes), so the number of series is
bounded whatever clients send. A client may send any token as a method (RFC 9110, section 9.1). Methods that no endpoint
has count together as `other`.
"""

from collections.abc import Callable
from typing import Literal

import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from zotpy import __version__
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.release import commit
from zotpy.store.space import Space
from zotpy.telemetry.sharing import collector_of_all

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
"""The label of every other method."""


PUBLISH_INTERVAL_S = 1.0
"""How old another worker's report of a gauge of ours may be."""


class Metrics:
    """The series of one process.

    If shared, they are shown with those of all workers (see `zotpy.telemetry.sharing`).
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._is_shared = is_shared
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """What counts one kind of request: to look it up by its labels costs more than to count. It is as bounded."""
        self._of_calls: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """The same for one kind of call to the store."""
        self._of_logins: dict[str, Counter] = {}
        """The same for one kind of login."""
        self._gauges: list[tuple[Gauge, Callable[[], float]]] = []
        build = Gauge(
            "zotpy_build_info",
            "1, with the version and the commit of this replica.",
            ("version", "commit"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        build.labels(__version__, commit()).set(1)
        self.requests = Counter(
            "zotpy_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "zotpy_http_request_duration_seconds",
            "From the request's header to the last byte of its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.received = Counter("zotpy_http_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self.sent = Counter("zotpy_http_sent_bytes", "Bytes of answers' bodies.", registry=self.registry)
        self.cuts = Counter(
            "zotpy_http_cuts", "Requests that did not go through to their end.", ("reason",), registry=self.registry
        )
        self.logins = Counter(
            "zotpy_http_requests_by_login",
            "Requests by how their callers are known, if there are logins.",
            ("login",),
            registry=self.registry,
        )
        self.audit_lost = Counter(
            "zotpy_audit_lines_lost",
            "Lines that the audit log does not have, because its memory was full or its file could not be written.",
            ("reason",),
            registry=self.registry,
        )
        self.read_backs = Counter(
            "zotpy_blobs_read_back", "Blobs read back from the store to learn their digests.", registry=self.registry
        )
        self.read_back_bytes = Counter("zotpy_blobs_read_back_bytes", "Bytes of these blobs.", registry=self.registry)
        self.damaged = Counter(
            "zotpy_blobs_damaged",
            "Blobs whose data the store was found to have lost: push them again.",
            registry=self.registry,
        )
        self.joins = Counter(
            "zotpy_store_reads_joined",
            "Reads that needed no call of their own: they shared the call of other requests.",
            registry=self.registry,
        )
        self.cache_reads = Counter(
            "zotpy_cache_reads",
            "Reads of large blobs, by what the cache had of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.cache_bytes = Counter("zotpy_cache_sent_bytes", "Bytes that came from the cache.", registry=self.registry)
        self.cache_evictions = Counter(
            "zotpy_cache_evictions", "Files of the cache that were deleted for others.", registry=self.registry
        )
        self.cache_failures = Counter(
            "zotpy_cache_failures",
            "Failures of the disk of the cache: pulls came from the store.",
            registry=self.registry,
        )
        self.mirror_checks = Counter(
            "zotpy_mirror_checks",
            "Questions to upstreams about manifests, by what came of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.mirror_blobs = Counter(
            "zotpy_mirror_blobs",
            "Blobs of upstreams that were not here, by what came of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.mirror_bytes = Counter(
            "zotpy_mirror_received_bytes", "Bytes of blobs that came from upstreams.", registry=self.registry
        )
        self.mirror_remaining = Gauge(
            "zotpy_mirror_remaining_requests",
            "How many more requests an upstream answers for now, if it says so.",
            ("host",),
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.store_calls = Counter(
            "zotpy_store_calls", "Calls to the store.", ("operation", "outcome"), registry=self.registry
        )
        self.store_seconds = Histogram(
            "zotpy_store_call_duration_seconds",
            "From a call to the store to its answer, retries included.",
            ("operation",),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def watch_budget(self, budget: MemoryBudget, readers: Readers) -> None:
        """Show how much of the memory budget bodies hold, and how many pushes and pulls wait for it."""
        self._watch("zotpy_pulls_waiting", "Pulls that wait for memory or a place.", lambda: readers.waiting)
        self._watch("zotpy_memory_budget_used_bytes", "Bytes held by bodies under way.", lambda: budget.used_bytes)
        self._watch("zotpy_memory_budget_bytes", "The memory budget.", lambda: budget.total_bytes)
        self._watch("zotpy_memory_budget_waiting", "Bodies of pushes that wait for memory.", lambda: budget.waiting)

    def watch_space(self, space: Space) -> None:
        """Show the free space on the disk of the embedded store, which is the same for all workers."""
        if space.directory is not None:
            free = "Free bytes on the disk of the store on this machine."
            self._watch("zotpy_disk_free_bytes", free, lambda: space.free_bytes, "livemin")
            reserved = "Free bytes below which pushes are refused."
            self._watch("zotpy_disk_reserved_bytes", reserved, lambda: space.reserved_bytes, "livemax")

    def watch_cache(self, read_used_bytes: Callable[[], float]) -> None:
        """Show how much the files of the cache hold, those that are being filled included."""
        self._watch("zotpy_cache_used_bytes", "Bytes that the files of the cache hold.", read_used_bytes)

    def _watch(
        self,
        name: str,
        what: str,
        read: Callable[[], float],
        over_workers: Literal["livesum", "livemin", "livemax"] = "livesum",
    ) -> None:
        """Show what a function returns. Over living workers it is the sum by default."""
        gauge = Gauge(name, what, registry=self.registry, multiprocess_mode=over_workers)
        if self._is_shared:  # another worker cannot call a function of ours: it reads what we published last
            self._gauges.append((gauge, read))
            gauge.set(read())
        else:
            gauge.set_function(read)

    async def keep_published(self) -> None:
        """Keep the gauges that other workers show current, until cancelled. Without other workers do nothing."""
        while self._is_shared:
            self.publish()
            await trio.sleep(PUBLISH_INTERVAL_S)

    def publish(self) -> None:
        """Write the gauges where other workers read them."""
        for gauge, read in self._gauges:
            gauge.set(read())

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Count one call to the store (`zotpy.store.observed.StoreObserver`)."""
        del key
        series = self._of_calls.get((operation, outcome))
        if series is None:
            series = self.store_calls.labels(operation, outcome), self.store_seconds.labels(operation)
            self._of_calls[operation, outcome] = series
        count, duration = series
        count.inc()
        duration.observe(seconds)

    def on_request(
        self, method: str, route: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count one request. Status 0: the client left before the answer."""
        method = method if method in METHODS else OTHER_METHOD
        series = self._of_requests.get((method, route, status))
        if series is None:
            count, duration = (
                self.requests.labels(method, route, str(status)),
                self.request_seconds.labels(method, route),
            )
            series = self._of_requests[method, route, status] = (count, duration)
        count, duration = series
        count.inc()
        duration.observe(seconds)
        if received_bytes:
            self.received.inc(received_bytes)
        if sent_bytes:
            self.sent.inc(sent_bytes)

    def on_login(self, login: str) -> None:
        """Count one request by how its caller is known: `anonymous`, or a kind of login. The user is no label."""
        if (count := self._of_logins.get(login)) is None:
            count = self._of_logins[login] = self.logins.labels(login)
        count.inc()

    def on_audit_lost(self, reason: str, lines: int) -> None:
        """Count lines that the audit log does not have. `reason` is `full` or `failed`."""
        self.audit_lost.labels(reason).inc(lines)

    def on_read_back(self, size_bytes: int) -> None:
        """Count a blob that is read back from the store, because only its bytes there can tell its digest."""
        self.read_backs.inc()
        self.read_back_bytes.inc(size_bytes)

    def on_damage(self) -> None:
        """Count a blob whose data the store was found to have lost."""
        self.damaged.inc()

    def on_join(self) -> None:
        """Count a read that shared the call of another request."""
        self.joins.inc()

    def on_cache_read(self, outcome: str) -> None:
        """Count a read of a large blob; `outcome` is one of few."""
        self.cache_reads.labels(outcome).inc()

    def on_cache_bytes(self, size_bytes: int) -> None:
        """Count bytes that came from a file of the cache."""
        self.cache_bytes.inc(size_bytes)

    def on_cache_evictions(self, count: int) -> None:
        """Count files of the cache that were deleted for others."""
        self.cache_evictions.inc(count)

    def on_cache_failure(self) -> None:
        """Count a failure of the disk of the cache."""
        self.cache_failures.inc()

    def on_mirror_check(self, outcome: str) -> None:
        """Count a question to an upstream about a manifest; `outcome` is one of few."""
        self.mirror_checks.labels(outcome).inc()

    def on_mirror_copy(self, outcome: str) -> None:
        """Count a blob of an upstream that was not here; `outcome` is one of few."""
        self.mirror_blobs.labels(outcome).inc()

    def on_mirror_bytes(self, size_bytes: int) -> None:
        """Count bytes of blobs that came from an upstream."""
        self.mirror_bytes.inc(size_bytes)

    def on_mirror_remaining(self, host: str, requests: int) -> None:
        """Show how many more requests a configured upstream answers."""
        self.mirror_remaining.labels(host).set(requests)

    def on_cut(self, reason: str) -> None:
        """Count a request that did not run to its end; `reason` is one of few."""
        self.cuts.labels(reason).inc()

    def render(self) -> bytes:
        """Write all series in Prometheus's text format."""
        if not self._is_shared:
            return generate_latest(self.registry)
        self.publish()
        return generate_latest(collector_of_all())
