"""`latency`: how long one client waits for one blob where the store is at a distance."""

from contextlib import closing
from functools import partial

from bench.clients.blobs import pull_blob, push_blob, verify_blob
from bench.clients.content import Content
from bench.clients.pool import Connections
from bench.measures import Span, measured
from bench.servers.shaping import Shape
from bench.workloads.cases import Case, Metrics, Row, Site, Sizes, Target

FAR = Shape(delay_ms=25, rate_mb_per_s=90)


def latency_cases(sizes: Sizes) -> list[Case]:
    """Return the push and the pull of one large blob."""
    rows = (
        Row("push_s", "push, s", target=Target("times", 3)),
        Row("push_registry_cpu_s", "push, CPU s"),
        Row("push_proxy_cpu_s", "push, proxy's CPU s"),
        Row("pull_s", "pull, s", target=Target("times", 2)),
        Row("pull_registry_cpu_s", "pull, CPU s"),
        Row("pull_proxy_cpu_s", "pull, proxy's CPU s"),
    )
    return [Case("latency", "", rows, partial(_push_and_pull, sizes), FAR)]


def _push_and_pull(sizes: Sizes, site: Site, seed: str) -> Metrics:
    repository = "bench/latency"
    content = Content(seed, sizes.far_blob_bytes)
    assert content.digest, "computed now, before the clock starts"
    with closing(Connections(site.endpoint)) as connections, connections.lend() as connection:
        with measured(site.trees) as push:
            push_blob(connection, repository, content, "docker")
        with measured(site.trees) as pull:
            pull_blob(connection, repository, content)
        verify_blob(connection, repository, content)
    return {**_metrics("push", push), **_metrics("pull", pull)}


def _metrics(what: str, span: Span) -> Metrics:
    """Return the time, and the CPU of registry and proxy: close to the time, either is what was waited for."""
    cpu_s = {f"{what}_{name}_cpu_s": seconds for name, seconds in span.cpu_s.items()}
    return {f"{what}_s": span.wall_s, **cpu_s}
