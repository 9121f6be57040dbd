"""Prometheus metrics of one replica: requests, store calls, memory.

Label values come from closed sets (route rules, operation names, status codes), so that the number of series is
bounded whatever clients send.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from zotpy.registry.budget import MemoryBudget

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The series of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def watch_budget(self, budget: MemoryBudget) -> None:
        """Show what bodies hold of the memory budget, and how many wait for it."""
        used = Gauge("zotpy_memory_budget_used_bytes", "Bytes held by bodies under way.", registry=self.registry)
        used.set_function(lambda: float(budget.used_bytes))
        total = Gauge("zotpy_memory_budget_bytes", "The memory budget.", registry=self.registry)
        total.set(budget.total_bytes)
        waiting = Gauge("zotpy_memory_budget_waiting", "Bodies that wait for memory.", registry=self.registry)
        waiting.set_function(lambda: float(budget.waiting))

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Count one call to the store (`zotpy.store.observed.StoreObserver`)."""
        del key
        self.store_calls.labels(operation, outcome).inc()
        self.store_seconds.labels(operation).observe(seconds)

    def on_request(
        self, method: str, route: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count one request; status 0: the client was gone before there was an answer."""
        self.requests.labels(method, route, str(status)).inc()
        self.received.inc(received_bytes)
        self.sent.inc(sent_bytes)
        self.request_seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Write all series in Prometheus's text format."""
        return generate_latest(self.registry)
