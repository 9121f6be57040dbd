"""`latency`: how long one client waits for one blob where the store is at a distance."""

import time
from contextlib import closing
from functools import partial

from bench.clients.blobs import pull_blob, push_blob, verify_blob
from bench.clients.connection import Connections
from bench.clients.content import Content
from bench.servers.shaping import Shape
from bench.workloads.cases import Case, Metrics, Row, Site, Sizes, Target

FAR = Shape(delay_ms=25, rate_mb_per_s=90)


def latency_cases(sizes: Sizes) -> list[Case]:
    """Return the push and the pull of one large blob."""
    rows = (
        Row("push_s", "push, s", target=Target("times", 3)),
        Row("pull_s", "pull, s", target=Target("times", 2)),
    )
    return [Case("latency", "", rows, partial(_push_and_pull, sizes), FAR)]


def _push_and_pull(sizes: Sizes, site: Site, seed: str) -> Metrics:
    repository = "bench/latency"
    content = Content(seed, sizes.far_blob_bytes)
    assert content.digest, "computed now, before the clock starts"
    with closing(Connections(site.port)) as connections, connections.lend() as connection:
        began = time.perf_counter()
        push_blob(connection, repository, content, "docker")
        pushed = time.perf_counter()
        pull_blob(connection, repository, content)
        pulled = time.perf_counter()
        verify_blob(connection, repository, content)
    return {"push_s": pushed - began, "pull_s": pulled - pushed}
