"""What is counted while a replica works: its requests, its calls to the store, its cache and its mirror.

Label values come from closed sets (methods, route rules, operation names, status codes), so the number of series is
bounded whatever clients send. A client may send any token as a method (RFC 9110, section 9.1). Methods that no endpoint
has count together as `other`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from zotpy.telemetry.tallies import SECONDS, Sum, Tallies, Tally

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
"""The label of every other method."""


class RequestSeries:
    """Requests and their callers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._of_requests = Tallies[tuple[str, str, int]](self._tally)
        """By method, route and status."""
        self._of_logins: dict[str, Counter] = {}
        """What counts one kind of login. Looking it up by its label costs more than counting."""
        self.requests = Counter(
            "zotpy_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "zotpy_http_request_duration_seconds",
            "From the request's header to the last byte of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.received = Counter("zotpy_http_received_bytes", "Bytes of request bodies.", registry=registry)
        self.sent = Counter("zotpy_http_sent_bytes", "Bytes of answers' bodies.", registry=registry)
        self._received, self._sent = Sum(self.received), Sum(self.sent)
        self.cuts = Counter(
            "zotpy_http_cuts", "Requests that did not go through to their end.", ("reason",), registry=registry
        )
        self.logins = Counter(
            "zotpy_http_requests_by_login",
            "Requests by how their callers are known, if there are logins.",
            ("login",),
            registry=registry,
        )
        self.audit_lost = Counter(
            "zotpy_audit_lines_lost",
            "Lines that the audit log does not have, because its memory was full or its file could not be written.",
            ("reason",),
            registry=registry,
        )

    def on_request(
        self, method: str, route: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count one request. Status 0: the client left before the answer."""
        method = method if method in METHODS else OTHER_METHOD
        self._of_requests[method, route, status].note(seconds)
        self._received.total += received_bytes
        self._sent.total += sent_bytes

    def show(self) -> None:
        """Let prometheus_client's values show all that was counted. Only one thread may do so at a time."""
        self._received.show()
        self._sent.show()
        self._of_requests.show()

    def _tally(self, kind: tuple[str, str, int]) -> Tally:
        method, route, status = kind
        return Tally(self.requests.labels(method, route, str(status)), self.request_seconds.labels(method, route))

    def on_cut(self, reason: str) -> None:
        """Count a request that did not run to its end; `reason` is one of few."""
        self.cuts.labels(reason).inc()

    def on_login(self, login: str) -> None:
        """Count one request by how its caller is known: `anonymous`, or a kind of login. The user is no label."""
        if (count := self._of_logins.get(login)) is None:
            count = self._of_logins[login] = self.logins.labels(login)
        count.inc()

    def on_audit_lost(self, reason: str, lines: int) -> None:
        """Count lines that the audit log does not have. `reason` is `full` or `failed`."""
        self.audit_lost.labels(reason).inc(lines)


class StoreSeries:
    """Calls to the store, and what was found there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._of_calls = Tallies[tuple[str, str]](self._tally)
        """By operation and outcome."""
        self.calls = Counter("zotpy_store_calls", "Calls to the store.", ("operation", "outcome"), registry=registry)
        self.call_seconds = Histogram(
            "zotpy_store_call_duration_seconds",
            "From a call to the store to its answer, retries included.",
            ("operation",),
            buckets=SECONDS,
            registry=registry,
        )
        self.read_backs = Counter(
            "zotpy_blobs_read_back", "Blobs read back from the store to learn their digests.", registry=registry
        )
        self.read_back_bytes = Counter("zotpy_blobs_read_back_bytes", "Bytes of these blobs.", registry=registry)
        self.damaged = Counter(
            "zotpy_blobs_damaged",
            "Blobs whose data the store was found to have lost: push them again.",
            registry=registry,
        )
        self.joins = Counter(
            "zotpy_store_reads_joined",
            "Reads that needed no call of their own: they shared the call of other requests.",
            registry=registry,
        )
        self.promised = Counter(
            "zotpy_store_reads_promised",
            "Reads answered from memory within the promise of the bucket: they needed no call.",
            registry=registry,
        )

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Count one call to the store (`zotpy.store.observed.StoreObserver`)."""
        del key
        self._of_calls[operation, outcome].note(seconds)

    def show(self) -> None:
        """See `RequestSeries`."""
        self._of_calls.show()

    def _tally(self, kind: tuple[str, str]) -> Tally:
        operation, outcome = kind
        return Tally(self.calls.labels(operation, outcome), self.call_seconds.labels(operation))

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

    def on_promised(self) -> None:
        """Count a read that was answered from memory."""
        self.promised.inc()


class CacheSeries:
    """The cache (`zotpy.cache.byte_cache.CacheEvents`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Counter(
            "zotpy_cache_reads",
            "Reads of large blobs, by what the cache had of them.",
            ("outcome",),
            registry=registry,
        )
        self.bytes = Counter("zotpy_cache_sent_bytes", "Bytes that came from the cache.", registry=registry)
        self.evictions = Counter(
            "zotpy_cache_evictions", "Files of the cache that were deleted for others.", registry=registry
        )
        self.failures = Counter(
            "zotpy_cache_failures",
            "Failures of the disk of the cache: pulls came from the store.",
            registry=registry,
        )

    def on_cache_read(self, outcome: str) -> None:
        """Count a read of a large blob; `outcome` is one of few."""
        self.reads.labels(outcome).inc()

    def on_cache_bytes(self, size_bytes: int) -> None:
        """Count bytes that came from a file of the cache."""
        self.bytes.inc(size_bytes)

    def on_cache_evictions(self, count: int) -> None:
        """Count files of the cache that were deleted for others."""
        self.evictions.inc(count)

    def on_cache_failure(self) -> None:
        """Count a failure of the disk of the cache."""
        self.failures.inc()


class MirrorSeries:
    """The mirror (`zotpy.mirror.events.MirrorEvents`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.checks = Counter(
            "zotpy_mirror_checks",
            "Questions to upstreams about manifests, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self.answers = Counter(
            "zotpy_mirror_answers",
            "What upstreams said to questions about manifests, blobs and referrers.",
            ("host", "outcome"),
            registry=registry,
        )
        self.blobs = Counter(
            "zotpy_mirror_blobs",
            "Blobs of upstreams that were not here, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self.bytes = Counter(
            "zotpy_mirror_received_bytes", "Bytes of blobs that came from upstreams.", registry=registry
        )
        self.remaining = Gauge(
            "zotpy_mirror_remaining_requests",
            "How many more requests an upstream answers for now, if it says so.",
            ("host",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    def on_mirror_check(self, outcome: str) -> None:
        """Count a question to an upstream about a manifest; `outcome` is one of few."""
        self.checks.labels(outcome).inc()

    def on_mirror_answer(self, host: str, outcome: str) -> None:
        """Count what a configured upstream said to a question; `outcome` is one of few."""
        self.answers.labels(host, outcome).inc()

    def on_mirror_copy(self, outcome: str) -> None:
        """Count a blob of an upstream that was not here; `outcome` is one of few."""
        self.blobs.labels(outcome).inc()

    def on_mirror_bytes(self, size_bytes: int) -> None:
        """Count bytes of blobs that came from an upstream."""
        self.bytes.inc(size_bytes)

    def on_mirror_remaining(self, host: str, requests: int) -> None:
        """Show how many more requests a configured upstream answers."""
        self.remaining.labels(host).set(requests)
