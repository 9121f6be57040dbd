"""One schedule: a bucket, a few clients and collectors, all drawn from one seed; and its result."""

from __future__ import annotations

import random
import re
import secrets
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import structlog
import trio

from tests.simulation.calls import ACTOR, Actor, Call, ParkedStore, SharedParkedStore
from tests.simulation.checks import Checks
from tests.simulation.clients import Client
from tests.simulation.clock import StepClock, own_clocks
from tests.simulation.contents import INLINE_BYTES, MANIFESTS, NAMES, PART_BYTES, REPOS
from tests.simulation.filling import PIECE_BYTES
from tests.simulation.history import History
from tests.simulation.reading import NotedStore
from tests.simulation.scheduler import DEADLINE_S, GRACE_S, Odds, Scheduler
from tests.simulation.themes import Theme, draw
from zotpy.bucket.layout import OLDEST
from zotpy.bucket.promise import Promise
from zotpy.bucket.promised_entries import PromisedEntries
from zotpy.collector import Collector, CollectorSettings, mirror_sweep
from zotpy.concurrency import plain_errors
from zotpy.core import keys
from zotpy.core.framing import frame
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.memory.budget import MemoryBudget
from zotpy.mirror import fetching, turns
from zotpy.registry.pushing import kept, placing
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import GcSettings, PolicySettings, RetentionSettings, Settings, UploadSettings
from zotpy.store import memory_store
from zotpy.store.interface import StoreError
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tests.simulation.contents import Manifest
    from zotpy.store.interface import Part, Store, Stored

GC = GcSettings(grace_s=GRACE_S, deadline_s=DEADLINE_S)
SETTINGS = Settings(upload=UploadSettings(part_size_bytes=PART_BYTES), gc=GC)
COLLECTING = CollectorSettings(replace(GC, upload_ttl_s=2 * GRACE_S), repositories_at_once=2, calls_at_once=2)
RETENTION = RetentionSettings(delay_s=0.0, policies=(PolicySettings((re.compile(""),), delete_referrers=True),))
BUDGET_BYTES = 1024 * 1024
LOSSES = ("delete", "delete_many", "put")
PASSES_UNTIL_EMPTY = 8
OF_NEW_LAYOUT = 0.7
"""The share of buckets in which the entries of small blobs are their own leases."""
POLL_S = 2.0
"""How often a replica looks whether its turn has come; more often, and schedules have little else."""


class BackdatingStore(MemoryStore):
    """A store that dates a large object by the beginning of its upload, as Amazon's does."""

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """See `Store`."""
        begun = self.multiparts.get(multipart_id)
        stored = await super().complete_multipart(key, multipart_id, parts)
        if begun is not None:
            self.objects[key].last_modified = begun.initiated
        return stored


class Schedule:
    """Runs one."""

    checks: Checks

    def __init__(self, seed: int, theme: Theme | None = None) -> None:
        """Draw everything that is not drawn during the run; also the theme if none is given."""
        self.rng = random.Random(seed)
        self.theme = theme or draw(self.rng)
        self.collecting = replace(COLLECTING, retention=RETENTION) if self.theme.retains else COLLECTING
        self.clock = StepClock()
        kind = self.rng.choice((MemoryStore, BackdatingStore))
        self.store: MemoryStore = kind(self.clock.date)
        odds = Odds.draw(self.rng, self.theme)
        self.scheduler = Scheduler(self.clock, self.rng, odds, self._after_effect)
        self.has_own_leases = random.Random(f"layout {seed}").random() < OF_NEW_LAYOUT
        self.promised_s = self.rng.choice(self.theme.promised_s) if self.theme.promised_s else 0.0

    def run(self) -> None:
        """Run it. Raises what is wrong."""
        with _simulated(self.rng, keeps=self.theme.as_docker), own_clocks(self.clock):
            trio.run(self._main, clock=self.clock)
        if self.scheduler.failure is not None:
            raise self.scheduler.failure

    def trace(self) -> str:
        """Return what happened, a line for each store call."""
        lines = []
        for time_s, who, what, key, detail in self.scheduler.trace:
            line = f"{time_s:9.2f} {who:12} {what:20} {key} {detail}"
            for digest, name in NAMES.items():
                line = line.replace(digest, name).replace(digest.replace(":", "/"), name)
            lines.append(line.rstrip())
        return "\n".join(lines)

    async def _main(self) -> None:
        """Do everything. Before and after it trio has waits of its own."""
        try:
            await self._all()
        finally:
            self.clock.on_idle = _look_again

    async def _all(self) -> None:
        with self.scheduler.scope, plain_errors():
            history = History(retains=self.theme.retains, immutable=self.theme.immutable)
            if not self.has_own_leases:
                await self.store.put(keys.LAYOUT, frame(OLDEST))
            noted = NotedStore(self.store)
            self.checks = Checks(self.store, noted, await self._registry(noted), history, self.clock)
            self.clock.on_idle = self.scheduler.idle
            focus = self.rng.sample(self.theme.manifests, self.rng.choice(self.theme.focus))
            await self._prepare(focus)
            for _ in range(self.rng.choice(self.theme.rounds)):
                await self._together(focus)
                self.scheduler.pass_time(self.rng.uniform(*self.rng.choice(self.theme.rests)) * GRACE_S)
            await self._end()

    async def _registry(self, store: Store, promised_s: float = 0.0) -> Registry:
        promised = PromisedEntries(Promise(promised_s, promised_s))
        settings = replace(SETTINGS, upload=UploadSettings(part_size_bytes=self.theme.part_bytes))
        return await open_registry(store, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES), promised=promised)

    async def _client(self, actor: Actor, focus: list[Manifest], registry: Registry | None = None) -> Client:
        registry = registry or await self._registry(ParkedStore(self.store, actor, self.scheduler), self.promised_s)
        return Client(actor, registry, self.scheduler, self.checks, self.rng, focus, self.theme)

    async def _prepare(self, focus: list[Manifest]) -> None:
        """Put something of some age into the bucket, perhaps deleted again."""
        client = await self._client(Actor("first"), focus)
        for manifest in focus:
            if self.rng.random() < self.theme.there:
                repo = self.rng.choice(self.theme.repos)
                await client.push_image(repo, manifest, None)
                if self.rng.random() < self.theme.deleted:
                    await client.delete(repo, manifest.digest)
        self.scheduler.pass_time(self.rng.uniform(*self.theme.age) * GRACE_S)
        for _ in range(self.rng.choice(self.theme.passes_before)):
            await self._collect()
            self.scheduler.pass_time(self.rng.random() * GRACE_S / 2)

    async def _together(self, focus: list[Manifest]) -> None:
        """Let clients and collectors work at once."""
        shared = None
        if self.theme.shares:
            shared = await self._registry(SharedParkedStore(self.store, Actor("replica"), self.scheduler))
        clients = [
            await self._client(Actor(f"client {number}", self.rng.choice(self.theme.paces)), focus, shared)
            for number in range(self.rng.choice(self.theme.clients))
        ]
        self.scheduler.parks = True
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(self._act, client.actor, partial(client.work, self.rng.choice(self.theme.things)))
            for number in range(self.rng.choice(self.theme.collectors)):
                actor = Actor(f"collector {number}", self.theme.collector_pace)
                store = ParkedStore(self.store, actor, self.scheduler)
                nursery.start_soon(self._act, actor, partial(self._collect_again, store))
        self.scheduler.parks = False
        self.scheduler.pass_time(DEADLINE_S)
        self.checks.check_quiet()

    async def _act(self, actor: Actor, work: Callable[[], Awaitable[None]]) -> None:
        """Do something until it is done, or the actor is killed."""
        ACTOR.set(actor)
        with trio.CancelScope() as actor.scope:
            try:
                with plain_errors():
                    await work()
            except StoreError as error:
                self.scheduler.note(actor.name, "gives up", "", repr(error))

    async def _collect_again(self, store: Store) -> None:
        for _ in range(self.rng.choice(self.theme.passes)):
            await self.scheduler.wait(self.theme.waits / 2)
            await Collector(store, self.collecting).run()

    async def _collect(self) -> None:
        actor = Actor("collector")
        await Collector(ParkedStore(self.store, actor, self.scheduler), self.collecting).run()

    async def _end(self) -> None:
        """Let old things be collected. Then delete everything, and check that nothing is left."""
        self.scheduler.note("", "the end begins")
        for _ in range(2):
            self.scheduler.pass_time(0.7 * GRACE_S)
            await self._collect()
        self.checks.check_quiet()
        self.checks.history.immutable = False  # for the admin
        if self.rng.random() < 0.75:
            return
        client = await self._client(Actor("last"), [])
        for repo in REPOS:
            for digest in MANIFESTS:
                if self.checks.has_manifest(repo, digest):
                    await client.delete(repo, digest)
        self.checks.check_quiet()
        for _ in range(PASSES_UNTIL_EMPTY):
            self.scheduler.pass_time(0.7 * GRACE_S)
            await self._collect()
        self.checks.check_named()
        self.checks.check_empty()

    def _after_effect(self, call: Call) -> None:
        if call.method in LOSSES and not (call.method == "put" and not call.key.startswith(("entries/", "tags/"))):
            self.checks.check_whole()


def _look_again(_: float) -> None:
    """Let trio continue by itself."""


async def _pass() -> None:
    """Replace a checkpoint of the store in memory: here the scheduler decides which actor continues."""


@contextmanager
def _simulated(rng: random.Random, *, keeps: bool) -> Iterator[None]:
    """Make everything that is left to chance follow from the seed, and make large things small."""
    trio_run = trio._core._run
    trio_run._r.seed(rng.random())
    ids = random.Random(rng.random())
    with (
        patch.object(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", new=True),
        patch.object(memory_store, "_checkpoint", _pass),
        patch.object(placing, "INLINE_LIMIT_BYTES", INLINE_BYTES),
        patch.object(fetching, "SAVE_EVERY_BYTES", PIECE_BYTES),
        patch.object(mirror_sweep, "LONGEST_S", COLLECTING.gc.upload_ttl_s),
        patch.object(turns, "POLL_S", POLL_S),
        patch.object(turns, "random", ids),
        patch.object(kept, "INLINE_LIMIT_BYTES", INLINE_BYTES if keeps else INLINE_LIMIT_BYTES),
        patch.object(secrets, "token_hex", lambda count: f"{ids.getrandbits(8 * count):0{2 * count}x}"),
        structlog.testing.capture_logs(),
    ):
        yield
