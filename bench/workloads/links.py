"""`pieces` and `windows`: what each GiB costs where clients are behind links, so that bytes come and go in bites."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from bench.clients.blobs import Flow, pull_blob, push_blob, verify_blob
from bench.clients.connection import Connection
from bench.clients.content import Content
from bench.clients.paced import Link, PacedConnection
from bench.measures import GIB, KIB, MIB, Span, measured
from bench.workloads.cases import BUSY, Case, Metrics, Row, Site, Sizes, Target

LINK_BYTES_PER_S = 8_000_000
PIECES = (4 * KIB, 16 * KIB, 64 * KIB)
WINDOWS = (16 * KIB, 64 * KIB, 256 * KIB)
TOGETHER = 4
"""Clients at once in the cases that have several; together they have as much as the one alone."""


def piece_cases(sizes: Sizes) -> list[Case]:
    """Return the pushes: a length and pieces of three lengths, chunked coding, several clients; the same with TLS."""
    rows = _rows(0.6)
    cases: list[tuple[str, Flow, int, int]] = [(f"{piece // KIB}k", "length", piece, 1) for piece in PIECES]
    cases += [("chunked", "docker", 32 * KIB, 1), (f"4k x{TOGETHER}", "length", 4 * KIB, TOGETHER)]
    cases += [(f"chunked x{TOGETHER}", "docker", 32 * KIB, TOGETHER)]
    both = [(*case, False) for case in cases]
    both += [(f"{variant} tls", flow, piece, clients, True) for variant, flow, piece, clients in cases]
    return [
        Case(
            "pieces",
            variant,
            rows,
            partial(_push, sizes.link_pushed_bytes, flow, Link(LINK_BYTES_PER_S, piece), clients),
            tls=tls,
        )
        for variant, flow, piece, clients, tls in both
    ]


def window_cases(sizes: Sizes) -> list[Case]:
    """Return the pulls, through windows of three lengths, in the clear and with TLS."""
    rows = _rows(1.2)
    return [
        Case(
            "windows",
            f"{window // KIB}k{' tls' if tls else ''}",
            rows,
            partial(_pull, sizes.link_pulled_bytes, Link(LINK_BYTES_PER_S, min(window, 64 * KIB), window)),
            tls=tls,
        )
        for tls in (False, True)
        for window in WINDOWS
    ]


def _rows(share: float) -> tuple[Row, ...]:
    return (
        Row("cpu_s_per_gib", "CPU s/GiB", target=Target("share", share)),
        Row("mb_per_s", "MB/s", "higher"),
        Row("peak_rss_mib", "peak RSS, MiB"),
        BUSY,
    )


def _push(size_bytes: int, flow: Flow, link: Link, clients: int, site: Site, seed: str) -> Metrics:
    repository = f"bench/pieces-{flow}"
    contents = [Content(f"{seed}/{client}", size_bytes) for client in range(clients)]
    assert all(content.digest for content in contents), "computed now, before the clock starts"

    def push(content: Content) -> None:
        with closing(PacedConnection(site.endpoint, link)) as connection:
            push_blob(connection, repository, content, flow)

    span = _measured(site, push, contents)
    with closing(Connection(site.endpoint)) as connection:
        verify_blob(connection, repository, contents[-1])
    return _metrics(span, size_bytes * clients)


def _pull(size_bytes: int, link: Link, site: Site, seed: str) -> Metrics:
    repository = "bench/windows"
    content = Content(seed, size_bytes)
    with closing(Connection(site.endpoint)) as connection:
        push_blob(connection, repository, content, "length")

    def pull(wanted: Content) -> None:
        with closing(PacedConnection(site.endpoint, link)) as paced:
            pull_blob(paced, repository, wanted)

    return _metrics(_measured(site, pull, [content]), size_bytes)


def _measured(site: Site, work: Callable[[Content], None], contents: list[Content]) -> Span:
    with ThreadPoolExecutor(len(contents)) as pool, measured(site.trees) as span:
        for _ in pool.map(work, contents):
            pass
    return span


def _metrics(span: Span, total_bytes: int) -> Metrics:
    return {
        "cpu_s_per_gib": span.cpu_s["registry"] / (total_bytes / GIB),
        "mb_per_s": total_bytes / span.wall_s / 1e6,
        "busy_cores": span.busy_cores,
        "peak_rss_mib": span.peak_rss_bytes["registry"] / MIB,
    }
