"""`push-cpu` and `pull-cpu`: what a registry spends on each GiB that goes through it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from bench.clients.blobs import Flow, pull_blob, push_blob, verify_blob
from bench.clients.connection import Connection
from bench.clients.content import Content
from bench.clients.pool import Connections
from bench.measures import GIB, MIB, Span, measured
from bench.workloads.cases import BUSY, Case, Metrics, Row, Site, Sizes, Target

OTHER_ROWS = (
    Row("gib_per_s", "GiB/s", "higher"),
    Row("peak_rss_mib", "peak RSS, MiB"),
    Row("store_cpu_s_per_gib", "store's CPU s/GiB"),
    Row("client_cpu_s_per_gib", "client's CPU s/GiB"),
    BUSY,
)
VARIANTS: dict[Flow, str] = {"docker": "chunked", "length": "length"}


def push_cases(sizes: Sizes) -> list[Case]:
    """Return the pushes: POST, PATCH, PUT, the PATCH in chunked transfer coding or with Content-Length."""
    rows = (Row("cpu_s_per_gib", "CPU s/GiB", target=Target("share", 0.55)), *OTHER_ROWS)
    return [Case("push-cpu", VARIANTS[flow], rows, partial(_push, sizes, flow)) for flow in VARIANTS]


def pull_cases(sizes: Sizes) -> list[Case]:
    """Return the pull: GET of whole blobs, whose bytes are dropped."""
    rows = (Row("cpu_s_per_gib", "CPU s/GiB", target=Target("value", 0.7)), *OTHER_ROWS)
    return [Case("pull-cpu", "", rows, partial(_pull, sizes))]


def _push(sizes: Sizes, flow: Flow, site: Site, seed: str) -> Metrics:
    repository = f"bench/push-{flow}"
    contents = _contents(sizes, seed)
    with closing(Connections(site.endpoint)) as connections:
        with measured(site.trees) as span:
            _each(sizes, connections, contents, lambda line, content: push_blob(line, repository, content, flow))
        with connections.lend() as connection:
            verify_blob(connection, repository, contents[-1])
    return _metrics(span, sum(content.size_bytes for content in contents))


def _pull(sizes: Sizes, site: Site, seed: str) -> Metrics:
    repository = "bench/pull"
    content = _contents(sizes, seed)[0]
    with closing(Connections(site.endpoint)) as connections:
        with connections.lend() as connection:
            push_blob(connection, repository, content, "length")
            verify_blob(connection, repository, content)
        pulls = [content] * sizes.blobs
        with measured(site.trees) as span:
            _each(sizes, connections, pulls, lambda line, content: pull_blob(line, repository, content))
    return _metrics(span, sum(content.size_bytes for content in pulls))


def _contents(sizes: Sizes, seed: str) -> list[Content]:
    contents = [Content(f"{seed}/{index}", sizes.blob_bytes) for index in range(sizes.blobs)]
    for content in contents:
        assert content.digest, "computed now, before the clock starts"
    return contents


def _each(
    sizes: Sizes, connections: Connections, contents: list[Content], work: Callable[[Connection, Content], None]
) -> None:
    """Do the work on each blob, some at once."""

    def do(content: Content) -> None:
        with connections.lend() as connection:
            work(connection, content)

    with ThreadPoolExecutor(sizes.blobs_at_once) as pool:
        for _ in pool.map(do, contents):
            pass


def _metrics(span: Span, total_bytes: int) -> Metrics:
    gib = total_bytes / GIB
    return {
        "cpu_s_per_gib": span.cpu_s["registry"] / gib,
        "gib_per_s": gib / span.wall_s,
        "busy_cores": span.busy_cores,
        "peak_rss_mib": span.peak_rss_bytes["registry"] / MIB,
        "store_cpu_s_per_gib": span.cpu_s["store"] / gib,
        "client_cpu_s_per_gib": span.cpu_s["client"] / gib,
    }
