"""What the command line of `bench/run.py` asks for."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit

from bench.clients.blobs import Flow
from bench.clients.endpoint import endpoint_of
from bench.load.spec import Sizes, Target
from bench.load.workloads import WORKLOADS
from bench.measures import MIB
from bench.servers.registries import COMMAND_FIELDS, REGISTRIES, filled_in
from bench.servers.stores import STORES

MOST_LINK_MB, LINK_MB_PER_CORE = 25.0, 4.0
PEERS = [name for name in REGISTRIES if name != "zotpy"]
PASSWORD_VARIABLE = "ZOTPY_BENCH_PASSWORD"  # noqa: S105 - the name of a variable


def default_link_mb() -> float:
    """Return what links of eight replicas this machine can feed: 4 MB/s for each core, 25 MB/s at most."""
    return min(MOST_LINK_MB, LINK_MB_PER_CORE * (os.cpu_count() or 1))


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen."""

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    replicas: tuple[int, ...] = (1, 2, 4, 8)
    store: str = "seaweedfs"
    link_mb_per_s: float = field(default_factory=default_link_mb)
    """Of each replica's link, in each direction; 0: no limit."""
    with_namespaces: bool = True
    """Whether the kernel shapes the links, where it can."""
    store_delay_ms: float = 20.0
    store_rate_mb_per_s: float = 90.0
    """Of each connection to the store."""
    clients: int = 3
    """For each replica; of a target, in all."""
    processes: int = 2
    """Of the load generator."""
    warm_up_s: float = 2.0
    duration_s: float = 8.0
    flows: tuple[Flow, ...] = ("docker",)
    sizes: Sizes = field(default_factory=Sizes)
    pull_share: float = 0.9
    against: str | None = None
    target: Target | None = None
    chaos: bool = False
    seed: str = "1"
    output: Path = Path("reports")

    @property
    def peer(self) -> str | None:
        """The name of the peer in tables."""
        return self.against if self.against is None or self.against in PEERS else "command"

    @property
    def link_bytes_per_s(self) -> float | None:
        """The rate of a link, if there is one that is known."""
        return None if self.target is not None or self.link_mb_per_s == 0 else self.link_mb_per_s * 1e6


def options_from(arguments: Sequence[str] | None) -> Options:
    """Read the command line; what is wrong with it ends the program with status 2."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.workloads) - WORKLOADS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if unknown := set(parsed.flow) - set(get_args(Flow)):
        parser.error(f"unknown flow: {', '.join(sorted(unknown))}")
    if parsed.target and (parsed.against or parsed.chaos):
        parser.error("--against and --chaos need registries that this program starts, not a --target")
    _check_numbers(parser, parsed)
    _check_places(parser, parsed)
    if min(parsed.replicas) < 1 or (parsed.chaos and max(parsed.replicas) < 2):  # noqa: PLR2004 - one is left
        parser.error("--replicas: at least one, and with --chaos two, of which one is killed at a time")
    defaults = Options()
    sizes = replace(
        defaults.sizes,
        layer_bytes=int(parsed.layer_mib * MIB),
        longest_layer_bytes=int(parsed.longest_layer_mib * MIB),
    )
    return replace(
        defaults,
        workloads=tuple(dict.fromkeys(parsed.workloads)) or defaults.workloads,
        replicas=tuple(sorted(set(parsed.replicas) - ({1} if parsed.chaos else set()))),
        store=parsed.store,
        link_mb_per_s=parsed.link_mb,
        with_namespaces=not parsed.no_namespaces,
        store_delay_ms=parsed.store_delay_ms,
        store_rate_mb_per_s=parsed.store_rate_mb,
        clients=parsed.clients,
        processes=parsed.processes,
        warm_up_s=parsed.warm_up,
        duration_s=parsed.duration,
        flows=cast("tuple[Flow, ...]", tuple(parsed.flow)),
        sizes=sizes,
        pull_share=parsed.ratio,
        against=parsed.against,
        target=_target(parsed),
        chaos=parsed.chaos,
        seed=parsed.seed,
        output=parsed.output or Path("reports") / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}",
    )


def _check_numbers(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    for name in ("clients", "processes", "duration", "layer_mib", "longest_layer_mib"):
        if getattr(parsed, name) <= 0:
            parser.error(f"--{name.replace('_', '-')}: more than 0")
    for name in ("warm_up", "link_mb", "store_delay_ms", "store_rate_mb"):
        if getattr(parsed, name) < 0:
            parser.error(f"--{name.replace('_', '-')}: not less than 0")
    if not 0 <= parsed.ratio <= 1:
        parser.error("--ratio: between 0 and 1")


def _check_places(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    try:
        if parsed.target is not None:
            endpoint_of(parsed.target)
            if urlsplit(parsed.target).path.strip("/"):
                parser.error(f"--target: a registry is driven at its host's root, not at {parsed.target}")
        if parsed.against is not None and parsed.against not in PEERS:
            filled_in(parsed.against, dict.fromkeys(COMMAND_FIELDS, ""))
    except ValueError as error:
        parser.error(str(error))


def _target(parsed: argparse.Namespace) -> Target | None:
    if parsed.target is None:
        return None
    password = os.environ.get(PASSWORD_VARIABLE)
    return Target(parsed.target.rstrip("/"), parsed.ca_file, not parsed.insecure, parsed.user, password)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _words(text: str) -> list[str]:
    return text.split(",")


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        description="What a cluster gives: aggregate throughput as the number of replicas grows.",
        epilog="Exit status 0: valid, whatever the figures; 1: there were errors or losses; 2: it could not be run.",
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS) + "; all unless named")
    add("--replicas", type=_numbers, default=list(defaults.replicas), metavar="N,N", help="default 1,2,4,8")
    add("--clients", type=int, default=defaults.clients, metavar="N", help="for each replica (default %(default)s)")
    add("--duration", type=float, default=defaults.duration_s, metavar="S", help="what counts (default %(default)s)")
    add("--warm-up", type=float, default=defaults.warm_up_s, metavar="S", help="before it (default %(default)s)")
    add("--flow", type=_words, default=list(defaults.flows), metavar="F,F", help="docker, containerd, chunked, length")
    add("--layer-mib", type=float, default=defaults.sizes.layer_bytes / MIB, metavar="N", help="in push and pull")
    add("--longest-layer-mib", type=float, default=defaults.sizes.longest_layer_bytes / MIB, metavar="N")
    add("--ratio", type=float, default=defaults.pull_share, metavar="R", help="share of pulls in mixed (default 0.9)")
    add("--processes", type=int, default=defaults.processes, metavar="N", help="of the generator (default %(default)s)")
    add("--seed", default=defaults.seed, help="of the content and of every choice")
    add("--output", type=Path, metavar="DIR", help="for JSON and plots (default reports/bench-TIME)")
    group = parser.add_argument_group("the cluster, which this program starts")
    add = group.add_argument
    add("--store", choices=sorted(STORES), default=defaults.store)
    add("--link-mb", type=float, default=defaults.link_mb_per_s, metavar="MB",
        help="MB/s of a replica's link each way; 0: no limit (default here: %(default)s)")  # fmt: skip
    add("--no-namespaces", action="store_true", help="shape the links with proxies, as is done without root")
    add("--store-delay-ms", type=float, default=defaults.store_delay_ms, metavar="MS", help="each call (default 20)")
    add("--store-rate-mb", type=float, default=defaults.store_rate_mb_per_s, metavar="MB", help="MB/s a connection")
    add("--against", metavar="PEER", help=f"{', '.join(PEERS)}, or a command with {' '.join(COMMAND_FIELDS)} in braces")
    add("--chaos", action="store_true", help="kill replicas while it runs; nothing acknowledged may be lost")
    group = parser.add_argument_group("a registry that runs already")
    add = group.add_argument
    add("--target", metavar="URL")
    add("--user", help=f"its password is in {PASSWORD_VARIABLE}")
    add("--ca-file", metavar="FILE", help="the authority of its certificate, PEM")
    add("--insecure", action="store_true", help="accept any certificate")
    return parser
