"""Cases run on registries that take turns, so that a drift of the machine meets all of them alike."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console

from bench.clients.blobs import push_blob, verify_blob
from bench.clients.connection import Connection, Refused
from bench.clients.content import Content
from bench.clients.endpoint import Endpoint, tls_context
from bench.measures import ProcessTree
from bench.results import Results, Sample, compare
from bench.servers.certificates import make_certificate
from bench.servers.processes import NotReady
from bench.servers.registries import Place, Prepare
from bench.servers.shaping import Shape, ShapingProxy
from bench.servers.stores import StoreServer, make_bucket
from bench.tables import Board, board
from bench.workloads.cases import Case, Site

BUCKET = "zotpy-bench"
WARM_UP_BYTES = 20 << 20


@dataclass(frozen=True)
class Plan:
    """What is run, and in which order: case by case, round by round, one registry after the other."""

    cases: Sequence[Case]
    registries: Mapping[str, Prepare]
    rounds: int
    seed: str


def run_plan(plan: Plan, store: StoreServer, directory: Path, results: Results, console: Console) -> None:
    """Run all cases on the running store and add what they found to the results. Raises `NotReady`."""
    make_bucket(store.bucket(BUCKET))
    samples = len(plan.cases) * len(plan.registries) * plan.rounds
    with board(console, plan.cases, list(plan.registries), samples) as screen:
        for index, ((shape, tls), cases) in enumerate(groupby(plan.cases, key=lambda case: (case.shape, case.tls))):
            folder = directory / f"registries{index}"
            folder.mkdir()
            screen.begin("starting the registries")
            with _sites(plan.registries, shape, store, folder, tls=tls) as sites:
                for case in cases:
                    _run_case(case, plan, sites, results, screen)


def _run_case(case: Case, plan: Plan, sites: Sequence[Site], results: Results, screen: Board) -> None:
    before = list(results.comparisons)
    for turn in range(1, plan.rounds + 1):
        for site in sites:
            screen.begin(f"{case.name}, round {turn}, {site.registry}")
            seed = f"{plan.seed}/{case.name.replace(' ', '-')}/{turn}"
            results.samples.append(_sample(case, site, turn, seed))
            ours, peer, *_ = [*plan.registries, None]
            results.comparisons = [
                *before,
                *(compare(case, row, results.samples, str(ours), peer) for row in case.rows),
            ]
            screen.done(results)


def _sample(case: Case, site: Site, turn: int, seed: str) -> Sample:
    try:
        return Sample(case.name, site.registry, turn, seed, case.run(site, seed))
    except (Refused, OSError) as error:
        return Sample(case.name, site.registry, turn, seed, {}, f"{type(error).__name__}: {error}")


@contextmanager
def _sites(
    registries: Mapping[str, Prepare], shape: Shape | None, store: StoreServer, folder: Path, *, tls: bool
) -> Iterator[list[Site]]:
    """Run the registries, each under a prefix of its own, behind a shaping proxy where there is a shape."""
    with ExitStack() as stack:
        bucket = store.bucket(BUCKET)
        trees = {"store": ProcessTree(store.process.pid)}
        if shape is not None:
            proxy = ShapingProxy(bucket, shape, folder)
            stack.callback(proxy.process.stop)
            proxy.start()
            bucket = proxy.bucket
            trees["proxy"] = ProcessTree(proxy.process.pid)
        sites = []
        certificate = make_certificate(folder) if tls else None
        context = tls_context(str(certificate.cert)) if certificate is not None else None
        for name, prepare in registries.items():
            server = prepare(bucket, f"{folder.name}/{name}", folder, Place(tls=certificate))
            stack.callback(server.stop)
            server.start()
            endpoint = Endpoint(server.place.host, server.port, context)
            sites.append(Site(name, endpoint, {"registry": ProcessTree(server.process.pid), **trees}))
            _warm_up(name, endpoint)
        yield sites


def _warm_up(name: str, endpoint: Endpoint) -> None:
    """Push and pull a blob of some parts: the store grows its volumes, the registry imports its last modules."""
    content = Content("warm-up", WARM_UP_BYTES)
    try:
        with closing(Connection(endpoint)) as connection:
            push_blob(connection, "bench/warm-up", content, "docker")
            verify_blob(connection, "bench/warm-up", content)
    except (Refused, OSError) as error:
        msg = f"{name} runs, but does not take a blob: {error}"
        raise NotReady(msg) from error
