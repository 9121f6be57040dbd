"""The composition root: from settings to a replica that listens, and its orderly end."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Literal

import trio

from zotpy.auditing import open_audit
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.bucket.digesting import prepare_hashing
from zotpy.bucket.guard import GuardedStore
from zotpy.bucket.health import Health
from zotpy.bucket.layout import LayoutError
from zotpy.bucket.promise_changes import agree
from zotpy.bucket.promised_entries import PromisedEntries
from zotpy.cache.opening import open_shelf
from zotpy.cache.shelf import Shelf
from zotpy.collecting import keep_collecting
from zotpy.concurrency import first_cause, log_others, plain_errors
from zotpy.core.errors import TryAgain
from zotpy.core.units import MIB
from zotpy.garbage import collect_less
from zotpy.http.server.proxies import TrustedProxies
from zotpy.http.server.sending import Answered
from zotpy.listening import listen, longest_end_s, until_signal
from zotpy.logins import make_door
from zotpy.memory.budget import MemoryBudget
from zotpy.mirror.mirror import Mirror, open_mirror
from zotpy.registry.registry import Registry, open_registry
from zotpy.reloading import keep_reloading
from zotpy.services import Service, run_beside
from zotpy.settings import Settings
from zotpy.startup import StartupError, announce
from zotpy.storage import look_at_space, open_store
from zotpy.store.interface import Store, StoreError
from zotpy.store.observed import ObservedStore
from zotpy.store.space import Space, SpacedStore
from zotpy.systemd import Systemd
from zotpy.telemetry.logs import at_every_level, say, shows
from zotpy.telemetry.metrics import Metrics
from zotpy.web.app import METRICS_PATH, create_app

PROBES = frozenset({"/livez", "/readyz", "/startupz", METRICS_PATH})
"""What machines ask every few seconds: expected answers are not worth a line of the log."""


async def serve(settings: Settings) -> None:
    """Run a replica until SIGTERM or SIGINT, then let requests under way finish. Raises `StartupError`."""
    systemd = Systemd.of(os.environ)
    for warning in settings.warnings:
        at_every_level.warning("configuration", message=warning)

    def tell(binds: list[str]) -> None:
        announce(settings, binds)
        systemd.ready(binds)

    async def until_stopped() -> bool:
        is_last = await until_signal()
        systemd.stopping(longest_end_s(settings.http))
        return is_last

    bell, grants = Bell(), Grants(settings.http.access)

    async def ring(new: Settings) -> None:
        await trio.to_thread.run_sync(grants.renew, new.http.access)  # conditions take milliseconds each
        bell.ring()

    async def replica(_: Callable[[], None]) -> None:
        await run_replica(settings, Metrics(), until_stopped, tell, bell=bell, grants=grants)

    with plain_errors():
        await run_beside([Service(systemd.keep_told), Service(partial(keep_reloading, settings, ring))], replica)


async def run_replica(
    settings: Settings,
    metrics: Metrics,
    until_stopped: Callable[[], Awaitable[bool]],
    on_listening: Callable[[list[str]], None],
    listener: int | None = None,
    bell: Bell | None = None,
    grants: Grants | None = None,
) -> None:
    """Open the store and answer requests; see `zotpy.listening.listen`. Raises `StartupError`."""
    bell, grants = bell or Bell(), grants or Grants(settings.http.access)
    audit = open_audit(settings.log, metrics, bell)
    try:
        async with open_store(settings) as store, AsyncExitStack() as stack:
            promised, space = PromisedEntries(on_hit=metrics.store.on_promised), await look_at_space(settings.storage)
            health = Health(store, promised.promise, settings.gc.deadline_s)
            await prepare_hashing()
            spaced = store if space.directory is None else SpacedStore(store, space)
            guarded = GuardedStore(spaced, health)
            observed = ObservedStore(guarded, metrics.store)
            shelf = await open_shelf(settings)
            registry = await _open(observed, settings, metrics, shelf, promised)
            _watch(metrics, registry, space, shelf)
            door = await make_door(settings, bell, grants, observed)
            metrics_path = settings.metrics.path if settings.metrics.enable else None
            app = create_app(
                registry, health, metrics.render, metrics_path, space, door.admit, door.challenge, door.routes
            )
            app.proxies = TrustedProxies(settings.http.trusted_proxies)
            app.report = partial(report, metrics, quiet=PROBES | {settings.metrics.path})
            app.dispatcher.audit = None if audit is None else audit[0]
            collect_less()
            mirror = await stack.enter_async_context(_mirror(registry, settings, metrics, grants, space))
            if mirror is not None:
                app.use(mirror)

            async def answer(drain: Callable[[], None]) -> None:
                async def until_draining() -> bool:
                    is_last = await until_stopped()
                    drain()
                    return is_last

                await listen(app, health, settings.http, until_draining, on_listening, listener, bell)

            services = [
                *door.services,
                *(() if audit is None else audit[1:]),
                *(() if mirror is None else [Service(mirror.tasks.run), Service(mirror.keep_counting)]),
                Service(space.keep_looking),
                Service(health.keep_looking),
                *_services_of(registry),
                Service(partial(keep_collecting, guarded, settings, grants.is_immutable), stops_at_drain=True),
                Service(metrics.keep_published, finish=metrics.publish_last),
            ]
            await run_beside(services, answer)
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        log_others(group, cause)
        raise cause from group


def _watch(metrics: Metrics, registry: Registry, space: Space, shelf: Shelf | None) -> None:
    """Let the gauges show how much memory and disk is in use."""
    metrics.gauges.watch_budget(registry.budget, registry.blobs.readers)
    metrics.gauges.watch_space(space)
    metrics.gauges.watch_cache(lambda: 0 if shelf is None else shelf.used_bytes)


def _services_of(registry: Registry) -> Iterator[Service]:
    """Yield what runs beside the requests for the use cases."""
    leftovers = registry.uploads.sessions.leftovers
    yield Service(partial(leftovers.keep_deleting, registry.store), finish=partial(leftovers.delete, registry.store))
    yield Service(registry.pulls.keep_written, finish=registry.pulls.write_last)
    if registry.blobs.cache is not None:
        yield Service(registry.blobs.cache.keep_filling)


@asynccontextmanager
async def _mirror(
    registry: Registry, settings: Settings, metrics: Metrics, grants: Grants, space: Space
) -> AsyncIterator[Mirror | None]:
    """Open the mirror, if registries are mirrored. Raises `StartupError`."""
    if not settings.mirror.mirrored:
        yield None
        return
    async with AsyncExitStack() as stack:
        try:
            opened = open_mirror(settings.mirror, registry, metrics.mirror, grants.is_immutable, space)
            mirror = await stack.enter_async_context(opened)
        except ValueError as error:
            raise StartupError(str(error)) from error
        yield mirror


async def _open(
    store: Store, settings: Settings, metrics: Metrics, shelf: Shelf | None, promised: PromisedEntries
) -> Registry:
    part_bytes, longest_wait_s = settings.upload.part_size_bytes, settings.http.busy_timeout_s
    budget = MemoryBudget(settings.upload.memory_budget_bytes, part_bytes + MIB, longest_wait_s=longest_wait_s)
    try:
        cached = None if shelf is None else (shelf, metrics.cache)
        await agree(store, promised.promise, settings.storage.promised_life_s, settings.gc.deadline_s)
        told = metrics.store
        return await open_registry(
            store, settings, budget, told.on_read_back, told.on_damage, told.on_join, cached, promised
        )
    except (LayoutError, StoreError, TryAgain) as error:
        raise StartupError(str(error)) from error


def report(metrics: Metrics, answered: Answered, ended: float, *, quiet: Collection[str] = PROBES) -> None:
    """Count a request, and log it in one line. A probe that was answered with 200 is logged only at level `debug`.

    `quiet` are the routes of probes and scrapes.
    """
    seconds = ended - answered.started
    metrics.requests.on_request(
        answered.method, answered.route, answered.status, seconds, answered.received_bytes, answered.sent_bytes
    )
    if answered.cut is not None:
        metrics.requests.on_cut(answered.cut)
    if answered.login:
        metrics.requests.on_login(answered.login)
    is_quiet = answered.route in quiet and answered.status == HTTPStatus.OK
    level: Literal["debug", "info"] = "debug" if is_quiet else "info"
    if not shows(level):
        return
    fields = {
        "method": answered.method,
        "path": answered.path,
        "client": answered.reached.client,
        "origin": answered.reached.origin,
        "status": answered.status,
        "received_bytes": answered.received_bytes,
        "sent_bytes": answered.sent_bytes,
        "seconds": round(seconds, 6),
    }
    if answered.login:
        fields |= {"user": answered.user, "login": answered.login}
    if answered.cut is not None:
        fields["cut"] = answered.cut
    say(level, "request", fields)
