"""What the command line of `bench/run.py` asks for."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from bench.clients.blobs import Flow
from bench.clients.endpoint import endpoint_of
from bench.load.spec import Load, Sizes, Target, Terms
from bench.load.workloads import DEFAULT, NAMES, WORKLOADS, named
from bench.measures import MIB
from bench.servers.commits import short_hash
from bench.servers.other_registries import COMMAND_FIELDS, filled_in
from bench.servers.registries import REGISTRIES
from bench.servers.stores import STORES

MOST_LINK_MB, LINK_MB_PER_CORE = 25.0, 4.0
COMMIT = "commit:"
"""How a revision of git is named, as a peer."""
BUILDS = "builds"
"""The workload for which the bench prints what store calls cost."""
OPEN = "open"
"""How this build is named, as a peer, where everybody may do everything and nobody guesses passwords."""
UNGUESSED = "unguessed"
"""How this build is named, as a peer, with the same access control, where nobody guesses passwords."""
PEERS = [*(name for name in REGISTRIES if name != "zotpy"), OPEN, UNGUESSED]
PASSWORD_VARIABLE = "ZOTPY_BENCH_PASSWORD"  # noqa: S105 - the name of a variable


def default_link_mb() -> float:
    """Return what links of eight replicas this machine can feed: 4 MB/s for each core, 25 MB/s at most."""
    return min(MOST_LINK_MB, LINK_MB_PER_CORE * (os.cpu_count() or 1))


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen."""

    workloads: tuple[str, ...] = DEFAULT
    replicas: tuple[int, ...] = (1, 2, 4, 8)
    store: str = "seaweedfs"
    link_mb_per_s: float = field(default_factory=default_link_mb)
    """The rate of each replica's link in each direction; 0: no limit."""
    with_namespaces: bool = True
    """Whether the kernel shapes the links, if it can."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The terms that the command line sets for all workloads."""
    turns: int = 1
    """How many turns each registry has, one after the other. Figures are medians."""
    workers: int = 1
    """Processes of each replica of zotpy."""
    processes: int = 2
    """How many processes the load generator has."""
    warm_up_s: float = 2.0
    duration_s: float = 8.0
    sizes: Sizes = field(default_factory=Sizes)
    pull_share: float = 0.9
    against: str | None = None
    target: Target | None = None
    access: bool = False
    """Whether zotpy has access control, and clients log in."""
    guesses_per_s: float = 0.0
    """Wrong passwords, while the load runs."""
    chaos: bool = False
    cost: bool = False
    """Whether to say what the calls to the store cost at S3's prices."""
    seed: str = "1"
    output: Path = field(default_factory=lambda: Path("reports") / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}")

    @property
    def peer(self) -> str | None:
        """The name of the peer in tables."""
        if self.against is None or self.against in PEERS:
            return self.against
        return self.against.replace(":", "-") if self.against.startswith(COMMIT) else "command"

    def terms(self, workload: str) -> Terms:
        """Return what a workload is run with."""
        return replace(WORKLOADS[workload].terms, **self.given)

    def counts(self, terms: Terms) -> tuple[int, ...]:
        """Return the numbers of replicas that are measured."""
        return (1,) if terms.alone or self.target is not None else self.replicas

    def load(self, workload: str, target: Target, seed: str, clients: int, prepared_bytes: int) -> Load:
        """Return the load of so many clients, for which they prepare so much together."""
        terms = self.terms(workload)
        return Load(
            workload,
            target,
            seed=f"{self.seed}-{workload.replace(' ', '-')}-{seed}",
            clients=clients,
            flows=terms.flows,
            sizes=replace(self.sizes, layer_bytes=terms.layer_bytes),
            pull_share=self.pull_share,
            prepared_bytes=prepared_bytes // clients,
        )

    def link_bytes_per_s(self, terms: Terms) -> float | None:
        """Return the rate of a replica's link, if there is one that is known."""
        is_unknown = self.target is not None or terms.alone or self.link_mb_per_s == 0
        return None if is_unknown else self.link_mb_per_s * 1e6


def options_from(arguments: Sequence[str] | None) -> Options:
    """Read the command line; what is wrong with it ends the program with status 2."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        workloads = named(parsed.workloads or ((BUILDS,) if parsed.cost else DEFAULT))
    except KeyError as unknown:
        parser.error(f"unknown: {unknown.args[0]}")
    if flows := set(parsed.flows or ()) - set(get_args(Flow)):
        parser.error(f"unknown flow: {', '.join(sorted(flows))}")
    if parsed.target and (parsed.against or parsed.chaos):
        parser.error("--against and --chaos need registries that this program starts, not a --target")
    alone = [name for name in workloads if WORKLOADS[name].terms.alone]
    if alone and (parsed.target or parsed.chaos):
        parser.error(f"{alone[0]} shows one replica that this program starts: without --target and --chaos")
    _check_places(parser, parsed)
    if parsed.target and parsed.access:
        parser.error("--access needs replicas that this program starts; --user logs in to a --target")
    if (parsed.guesses_per_s or parsed.against == UNGUESSED) and not parsed.access:
        parser.error("--guesses and --against unguessed need --access: without it no password is checked")
    if min(parsed.replicas) < 1 or (parsed.chaos and max(parsed.replicas) < 2):  # noqa: PLR2004 - one is left
        parser.error("--replicas: at least one, and with --chaos two, of which one is killed at a time")
    given = {one.name: getattr(parsed, one.name, None) for one in fields(Terms)}
    return replace(
        Options(**{one.name: getattr(parsed, one.name) for one in fields(Options)}),
        workloads=workloads,
        replicas=tuple(sorted(set(parsed.replicas) - ({1} if parsed.chaos else set()))),
        given={name: value for name, value in given.items() if value is not None},
        sizes=Sizes(longest_layer_bytes=parsed.longest_layer_bytes),
        against=_against(parser, parsed.against),
        target=_target(parsed),
    )


def _check_places(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    try:
        if parsed.target is not None:
            endpoint_of(parsed.target)
            if urlsplit(parsed.target).path.strip("/"):
                parser.error(f"--target: a registry is driven at its host's root, not at {parsed.target}")
        if parsed.against is not None and parsed.against not in PEERS and not parsed.against.startswith(COMMIT):
            filled_in(parsed.against, dict.fromkeys(COMMAND_FIELDS, ""))
    except ValueError as error:
        parser.error(str(error))


def _against(parser: argparse.ArgumentParser, against: str | None) -> str | None:
    """Return what we are measured beside; a commit by its short hash."""
    if against is None or not against.startswith(COMMIT):
        return against
    try:
        return COMMIT + short_hash(against.removeprefix(COMMIT))
    except ValueError as error:
        parser.error(str(error))


def _target(parsed: argparse.Namespace) -> Target | None:
    if parsed.target is None:
        return None
    password = os.environ.get(PASSWORD_VARIABLE)
    return Target(parsed.target.rstrip("/"), parsed.ca_file, not parsed.insecure, parsed.user, password)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _number(kind: Callable[[str], float], rule: str, is_right: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not is_right(value := kind(text)):
            raise argparse.ArgumentTypeError(rule)
        return value

    return read


_COUNT = _number(int, "more than 0", lambda value: value > 0)
_SECONDS = _number(float, "more than 0", lambda value: value > 0)
_MIB = _number(lambda text: int(float(text) * MIB), "more than 0", lambda value: value > 0)
_AMOUNT = _number(float, "not less than 0", lambda value: value >= 0)
_SHARE = _number(float, "between 0 and 1", lambda value: 0 <= value <= 1)


def _parser() -> argparse.ArgumentParser:
    defaults, terms = Options(), Terms()
    parser = argparse.ArgumentParser(
        description="What a cluster gives: aggregate throughput as the number of replicas grows.",
        epilog="Exit status 0: valid, whatever the figures; 1: there were errors or losses; 2: it could not be run.",
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD",
        help=f"{', '.join(NAMES)}; unless named, those of a cluster: {', '.join(DEFAULT)}")  # fmt: skip
    add("--replicas", type=_numbers, metavar="N,N", help="default 1,2,4,8")
    add("--clients", type=_COUNT, metavar="N", help=f"for each replica (default of a cluster: {terms.clients})")
    add("--duration", type=_SECONDS, dest="duration_s", metavar="S", help="what counts (default %(default)s)")
    add("--warm-up", type=_AMOUNT, dest="warm_up_s", metavar="S", help="before it (default %(default)s)")
    add("--turns", type=_COUNT, metavar="N", help="of each registry; figures are medians")
    add("--flow", type=_words, dest="flows", metavar="F,F", help=", ".join(get_args(Flow)))
    add("--layer-mib", type=_MIB, dest="layer_bytes", metavar="N", help="in push and pull")
    add("--longest-layer-mib", type=_MIB, dest="longest_layer_bytes", default=Sizes().longest_layer_bytes, metavar="N")
    add("--ratio", type=_SHARE, dest="pull_share", metavar="R", help="share of pulls in mixed (default %(default)s)")
    add("--processes", type=_COUNT, metavar="N", help="of the generator (default %(default)s)")
    add("--seed", help="of the content and of every choice")
    add("--output", type=Path, metavar="DIR", help="for JSON and plots (default reports/bench-TIME)")
    group = parser.add_argument_group("the cluster, which this program starts")
    add = group.add_argument
    add("--store", choices=sorted(STORES))
    add("--link-mb", type=_AMOUNT, dest="link_mb_per_s", metavar="MB",
        help="MB/s of a replica's link each way; 0: no limit (default here: %(default)s)")  # fmt: skip
    add("--no-namespaces", action="store_false", dest="with_namespaces",
        help="shape the links with proxies, as is done without root")  # fmt: skip
    add("--store-delay-ms", type=_AMOUNT, metavar="MS", help="each call (default of a cluster: 20)")
    add("--store-rate-mb", type=_AMOUNT, dest="store_rate_mb_per_s", metavar="MB",
        help="MB/s a connection; 0: no limit (default of a cluster: 90)")  # fmt: skip
    add("--workers", type=_COUNT, metavar="N", help="processes of a replica (default 1)")
    add("--access", action="store_true", help="with access control: clients log in, and rules say what they may do")
    add("--guesses", type=_AMOUNT, dest="guesses_per_s", metavar="N", help="wrong passwords a second meanwhile")
    add("--against", metavar="PEER", help=f"{', '.join(PEERS)} (the last two: this build without --access, or"
        f" without --guesses), {COMMIT}REV for this program at a revision of git,"
        f" or a command with {' '.join(COMMAND_FIELDS)} in braces")  # fmt: skip
    add("--cost", action="store_true", help=f"what the store calls cost at S3's prices; unless named, of {BUILDS}")
    add("--chaos", action="store_true", help="kill replicas while it runs; nothing acknowledged may be lost")
    group = parser.add_argument_group("a registry that runs already")
    add = group.add_argument
    add("--target", metavar="URL")
    add("--user", help=f"its password is in {PASSWORD_VARIABLE}")
    add("--ca-file", metavar="FILE", help="the authority of its certificate, PEM")
    add("--insecure", action="store_true", help="accept any certificate")
    parser.set_defaults(**{one.name: getattr(defaults, one.name) for one in fields(Options)})
    parser.set_defaults(workloads=())  # what that means depends on other options
    return parser
