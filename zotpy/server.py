"""The composition root: from settings to a replica that listens, and its orderly end."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

from zotpy.config import S3Settings, Settings, StorageSettings
from zotpy.registry.budget import MemoryBudget
from zotpy.registry.concurrency import first_cause
from zotpy.registry.health import Health
from zotpy.registry.layout import LayoutError
from zotpy.registry.registry import Registry, open_registry
from zotpy.registry.settings import MIB, RegistrySettings
from zotpy.s3.config import S3Config
from zotpy.store.interface import Store, StoreError
from zotpy.store.observed import ObservedStore
from zotpy.store.opening import open_s3_store
from zotpy.telemetry.metrics import Metrics
from zotpy.web.app import RegistryApp, create_app
from zotpy.web.connections import ServerConfig
from zotpy.web.connections import serve as serve_connections
from zotpy.web.streaming import Answered

KEEP_ALIVE_S = 75.0

log = structlog.get_logger()


class StartupError(Exception):
    """The replica cannot start; the message says why and what to do."""


async def serve(settings: Settings) -> None:
    """Run a replica until SIGTERM or SIGINT, then let requests under way finish. Raises `StartupError`."""
    for warning in settings.warnings:
        log.warning("configuration", message=warning)
    try:
        async with open_store(settings) as store:
            metrics = Metrics()
            registry = await _open(ObservedStore(store, metrics), settings)
            metrics.watch_budget(registry.budget)
            health = Health(store)
            app = create_app(registry, health, metrics.render)
            app.report = partial(_report, metrics)
            await _listen(app, health, settings)
    except BaseExceptionGroup as group:
        raise first_cause(group) from group


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store of the configuration, the embedded one where it names none. Raises `StartupError`."""
    if settings.storage.s3 is not None:
        async with _open_s3(s3_config(settings.storage.s3), settings.storage.s3) as store:
            yield store
        return
    from zotpy.embedded import EmbeddedStoreError, embedded_store  # noqa: PLC0415 - not needed beside an external store

    try:
        async with (
            embedded_store(settings.storage.root_directory) as embedded,
            open_s3_store(embedded.config()) as store,
        ):
            yield store
    except EmbeddedStoreError as error:
        raise StartupError(str(error)) from error


@asynccontextmanager
async def _open_s3(config: S3Config, settings: S3Settings) -> AsyncIterator[Store]:
    opened = False
    try:
        async with open_s3_store(config, settings.root_directory, create_bucket=settings.create_bucket) as store:
            opened = True
            yield store
    except StoreError as error:
        if opened:
            raise
        msg = f"the bucket {config.bucket!r} at {config.service_url} cannot be used: {error}"
        raise StartupError(msg) from error


def s3_config(settings: S3Settings) -> S3Config:
    """Translate the configuration's words into the client's."""
    return S3Config(
        bucket=settings.bucket,
        region=settings.region,
        endpoint=settings.endpoint,
        public_endpoint=settings.redirect_endpoint,
        path_style=settings.force_path_style,
        verify_tls=not settings.skip_verify,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
    )


def registry_settings(settings: Settings) -> RegistrySettings:
    """Translate the configuration's words into the registry's."""
    return RegistrySettings(
        part_size_bytes=settings.upload.part_size_bytes,
        parts_in_flight=settings.upload.parts_in_flight,
        grace_s=settings.gc.grace_s,
        deadline_s=settings.gc.deadline_s,
        manifest_limit_bytes=settings.manifest.max_size_bytes,
        allow_sparse_indexes=settings.manifest.allow_sparse_indexes,
        body_stall_s=settings.upload.body_stall_timeout_s,
        redirect_expiry_s=_redirect_expiry_s(settings.storage),
    )


def _redirect_expiry_s(settings: StorageSettings) -> int | None:
    """Return how long presigned URLs last, or `None` where no pull is redirected: the embedded store has no clients."""
    if settings.s3 is None or not (settings.s3.redirect or settings.redirect_blob_url):
        return None
    return int(settings.s3.redirect_expiry_s)


async def _open(store: Store, settings: Settings) -> Registry:
    numbers = registry_settings(settings)
    budget = MemoryBudget(settings.upload.memory_budget_bytes, numbers.part_size_bytes + MIB)
    try:
        return await open_registry(store, numbers, budget)
    except (LayoutError, StoreError) as error:
        raise StartupError(str(error)) from error


async def _listen(app: RegistryApp, health: Health, settings: Settings) -> None:
    """Accept connections until a signal, then stop and wait for requests under way."""
    config = ServerConfig()
    config.bind = [f"{settings.http.address}:{settings.http.port}"]
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.send_stall_s = settings.http.send_stall_timeout_s
    config.graceful_timeout = settings.http.drain_timeout_s
    config.max_app_queue_size = 1
    config.h11_max_incomplete_size = 64 * 1024
    config.accesslog = None
    config.errorlog = None
    if settings.http.tls_cert is not None:
        config.certfile, config.keyfile = str(settings.http.tls_cert), str(settings.http.tls_key)
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, stop, health)
            binds = await nursery.start(partial(serve_connections, app, config, stop=stop))
            _announce(binds, settings)
            await stop.wait()
            nursery.cancel_scope.deadline = trio.current_time() + settings.http.drain_timeout_s + 5
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        if isinstance(cause, OSError):
            msg = f"cannot listen on {config.bind[0]}: {cause.strerror or cause}"
            raise StartupError(msg) from group
        raise cause from group


async def _stop_on_signal(stop: trio.Event, health: Health) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            health.draining = True
            stop.set()
            return


def _report(metrics: Metrics, answered: Answered, ended: float) -> None:
    """Count a request, and log it in one line."""
    seconds = ended - answered.started
    metrics.on_request(
        answered.method, answered.route, answered.status, seconds, answered.received_bytes, answered.sent_bytes
    )
    log.info(
        "request",
        method=answered.method,
        path=answered.path,
        status=answered.status,
        received_bytes=answered.received_bytes,
        sent_bytes=answered.sent_bytes,
        seconds=round(seconds, 6),
    )


def _announce(binds: list[str], settings: Settings) -> None:
    log.info("serving", listening=binds, store="s3" if settings.storage.s3 else "embedded")
    if settings.storage.s3 is None:
        where = binds[0].partition("://")[2]
        root = Path(settings.storage.root_directory)
        print(  # noqa: T201 - said to the person at the terminal
            f"\nzotpy is ready on http://{where} (data in {root}). Try:\n\n"
            f"  podman push --tls-verify=false IMAGE {where}/IMAGE:latest\n"
            f"  docker push {where}/IMAGE:latest\n",
            flush=True,
        )
