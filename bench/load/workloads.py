"""The workloads: those of a cluster, and those that show what one replica does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.clients.blobs import Flow
from bench.clients.paced import Link
from bench.load import steps, warming
from bench.load.clients import Client
from bench.load.content import head_blobs, storm_image
from bench.load.spec import Terms
from bench.measures import KIB, MIB

Unit = Literal["MB/s", "op/s"]
LINK_BYTES_PER_S = 8_000_000
PIECES: tuple[tuple[str, Flow, int, int], ...] = (
    ("4k", "length", 4 * KIB, 1),
    ("16k", "length", 16 * KIB, 1),
    ("64k", "length", 64 * KIB, 1),
    ("chunked", "docker", 32 * KIB, 1),
    ("4k x4", "length", 4 * KIB, 4),
    ("chunked x4", "docker", 32 * KIB, 4),
)
"""Variant, flow, bytes sent in one call, and clients at once."""
WINDOWS = (16 * KIB, 64 * KIB, 256 * KIB)


@dataclass(frozen=True)
class Goal:
    """What zotpy must reach: a share of the peer's CPU time, a multiple of its throughput, or a CPU time of its own."""

    kind: Literal["share", "times", "value"]
    bound: float

    def __str__(self) -> str:
        """Say it as the table does."""
        return {"share": "CPU <= {:g} x", "times": ">= {:g} x", "value": "CPU < {:g}"}[self.kind].format(self.bound)

    def is_met(self, cost: float | None, cost_ratio: float | None, ratio: float | None) -> bool | None:
        """Tell whether it is met; none where nobody was measured beside us."""
        if self.kind == "times":
            return None if ratio is None else ratio >= self.bound
        if self.kind == "share":
            return None if cost_ratio is None else cost_ratio <= self.bound
        return None if cost is None else cost < self.bound


@dataclass(frozen=True)
class Workload:
    """One workload."""

    name: str
    unit: Unit
    """The unit of its throughput."""
    headline: str
    """The operation that counts for op/s and whose latency is shown first."""
    step: Callable[[Client], object]
    """What each client does again and again."""
    seed: Callable[[Client], object] = lambda _: None
    """Done once by one client, before all others begin."""
    prepare: Callable[[Client], object] = lambda _: None
    """Done by each client before the clock starts; sends nothing."""
    group: str = ""
    """The name by which all variants are asked for together."""
    terms: Terms = field(default_factory=Terms)
    goal: Goal | None = None
    once: bool = False
    """All clients do it once, and at the same moment: the run ends when all of them are done."""


def _push(name: str, variant: str, terms: Terms, goal: Goal) -> Workload:
    return Workload(
        f"{name} {variant}", "MB/s", "push", steps.push, prepare=steps.unique_layers, group=name, terms=terms, goal=goal
    )


def _pull(name: str, variant: str, terms: Terms, goal: Goal) -> Workload:
    steps_of = (steps.pull, steps.seed_storm, lambda client: storm_image(client.load))
    return Workload(
        f"{name} {variant}".rstrip(), "MB/s", "pull of an image", *steps_of, group=name, terms=terms, goal=goal
    )


def _storm(name: str, seed: Callable[[Client], object], terms: Terms, *, step: Callable[[Client], object]) -> Workload:
    group, goal = name.partition(" ")[0], Goal("share", 0.5)
    return Workload(name, "MB/s", "pull", step, seed, steps.know_layers, group, terms, goal, once=True)


def _of_clusters() -> Iterable[Workload]:
    yield Workload("push", "MB/s", "push", steps.push, prepare=steps.unique_layers)
    yield Workload("images", "MB/s", "push of an image", steps.push_image, steps.seed_base, steps.prepare_images)
    yield Workload(
        "pull", "MB/s", "pull of an image", steps.pull, steps.seed_storm, lambda client: storm_image(client.load)
    )
    yield Workload("mixed", "MB/s", "pull of an image", steps.mixed, steps.seed_mixed, steps.prepare_mixed)
    yield Workload("small", "op/s", "push", steps.small)
    yield Workload("tags", "op/s", "tag", steps.race, steps.seed_tags)
    heads = Workload("heads", "op/s", "head", steps.head, steps.seed_heads, lambda client: head_blobs(client.load))
    yield replace(heads, group="heads")
    yield replace(heads, name="heads promised", group="heads", terms=Terms(promised=True), goal=Goal("times", 0.5))


def _of_one_replica() -> Iterable[Workload]:
    near = Terms(clients=2, layer_bytes=256 * MIB, store_delay_ms=0, store_rate_mb_per_s=0, alone=True)
    share = Goal("share", 0.55)
    yield _push("push-cpu", "chunked", near, share)
    yield _push("push-cpu", "length", replace(near, flows=("length",)), share)
    yield _pull("pull-cpu", "", near, Goal("value", 0.7))
    kept = _pull("cached", "pull", replace(near, cached=True), Goal("share", 0.5))
    yield replace(kept, seed=warming.seed_kept)
    filling = replace(near, layer_bytes=128 * MIB, cached=True)
    filled = _storm("cached filling", steps.seed_own_layers, filling, step=steps.pull_own_layers)
    yield replace(filled, goal=Goal("share", 1.4))
    storm = replace(near, clients=16, layer_bytes=64 * MIB, cached=True)
    yield _storm("storm first", steps.seed_layer, storm, step=steps.pull_layer)
    yield _storm("storm again", steps.seed_pulled_layer, storm, step=steps.pull_layer)
    yield _storm("storm uncached", steps.seed_layer, replace(storm, cached=False), step=steps.pull_layer)
    far = Terms(clients=1, layer_bytes=100 * MIB, store_delay_ms=25, alone=True)
    yield _push("latency", "push", far, Goal("times", 3))
    yield _pull("latency", "pull", far, Goal("times", 2))
    slow = Terms(clients=16, store_delay_ms=25, store_rate_mb_per_s=0, alone=True)
    flows: tuple[Flow, ...] = ("docker", "containerd")
    for flow in flows:
        step = steps.small_image
        terms = replace(slow, flows=(flow,))
        yield Workload(f"small-images {flow}", "op/s", "push of an image", step, group="small-images", terms=terms,
                       goal=Goal("times", 3))  # fmt: skip
    built = replace(near, clients=4)
    yield Workload("builds", "op/s", "build", steps.builds, steps.seed_base, steps.prepare_builds, "", built, once=True)
    at_once = Terms(clients=4, store_delay_ms=0, store_rate_mb_per_s=0, alone=True)
    kinds = {"ping": steps.ping, "manifest": steps.get_manifest, "head": steps.head_blob, "blob": steps.get_blob}
    for kind, step in kinds.items():
        name = f"requests {kind}"
        yield Workload(name, "op/s", "request", step, steps.seed_requests, group="requests", terms=at_once)
    for tls in (False, True):
        suffix = " tls" if tls else ""
        pushed = replace(near, layer_bytes=24 * MIB, tls=tls)
        for variant, flow, piece, clients in PIECES:
            terms = replace(pushed, flows=(flow,), clients=clients, link=Link(LINK_BYTES_PER_S, piece))
            yield _push("pieces", variant + suffix, terms, Goal("share", 0.6))
        for window in WINDOWS:
            link = Link(LINK_BYTES_PER_S, min(window, 64 * KIB), window)
            terms = replace(near, layer_bytes=16 * MIB, tls=tls, clients=1, link=link)
            yield _pull("windows", f"{window // KIB}k{suffix}", terms, Goal("share", 1.2))


WORKLOADS = {one.name: one for one in (*_of_clusters(), *_of_one_replica())}
"""The workloads by name, in the order in which they are run."""
DEFAULT = tuple(one.name for one in WORKLOADS.values() if not one.terms.alone)
"""What is run unless something else is asked for: what a cluster gives."""
NAMES = tuple(dict.fromkeys(one.group or one.name for one in WORKLOADS.values()))


def named(words: Iterable[str]) -> tuple[str, ...]:
    """Return the workloads of these names and groups. Raises `KeyError` with what is neither."""
    found: dict[str, None] = {}
    for word in words:
        names = [one.name for one in WORKLOADS.values() if word in {one.name, one.group}]
        if not names:
            raise KeyError(word)
        found |= dict.fromkeys(names)
    return tuple(found)
