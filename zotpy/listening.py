"""Listening for clients with hypercorn: on an address or an inherited socket, until told to stop, then the drain."""

import errno
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
import trio

from zotpy.bell import Bell
from zotpy.concurrency import first_cause, log_others
from zotpy.http.server.admission import Admission, connections_for
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.serving import serve
from zotpy.settings import HttpSettings
from zotpy.startup import StartupError

if TYPE_CHECKING:
    from zotpy.bucket.health import Health
    from zotpy.web.app import RegistryApp

DRAIN_SLACK_S = 5.0
"""How much longer than `drain_timeout_s` a replica takes at most."""
CLOSE_S = 3.0
"""How long connections may take to close once no request is under way."""
POLL_S = 0.1
_REMEDIES = {
    errno.EADDRINUSE: ". Stop the program that uses it, or set another http.port",
    errno.EADDRNOTAVAIL: ". This machine does not have that address: set another http.address, or 0.0.0.0 for all",
    errno.EACCES: ". Only root may use ports below 1024: set another http.port",
}
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


def longest_end_s(settings: HttpSettings) -> float:
    """Return how long a replica may take to end after it was told to stop."""
    return settings.drain_notice_s + settings.drain_timeout_s + DRAIN_SLACK_S


async def until_signal() -> bool:
    """Wait for SIGTERM or SIGINT. Always true: see `listen`.

    After that SIGTERM changes nothing, because a wrapper often passes on a signal that the process got as well. SIGINT
    ends the process as usual, because a person who presses Ctrl-C twice means it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    signal.signal(signal.SIGTERM, lambda *_: None)  # what the receiver puts back; no process that we start inherits it
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            break
    return True


def bind(settings: HttpSettings) -> socket.socket:
    """Bind the socket that workers will listen on. Until the first one listens, connections are refused.

    Raises `StartupError`.
    """
    try:
        sockets = _config(settings).create_sockets()
    except OSError as error:
        raise _cannot_listen(settings, error) from error
    (listener,) = [*sockets.secure_sockets, *sockets.insecure_sockets]
    return listener


async def listen(
    app: "RegistryApp",
    health: "Health",
    settings: HttpSettings,
    until_stopped: Callable[[], Awaitable[bool]],
    on_listening: Callable[[list[str]], None],
    listener: int | None = None,
    bell: Bell | None = None,
) -> None:
    """Accept connections until `until_stopped` returns, then accept none and wait for requests under way.

    `until_stopped` returns whether no other process will accept connections at this address. If so, and if a balancer
    asks whether the replica is ready, it still accepts connections until the balancer has had time to see that it is
    not.

    `listener` is the descriptor of a bound socket. `on_listening` is called with the URLs. The certificate is checked
    again every few seconds, and when `bell` is rung. Raises `StartupError`.
    """
    config = _config(settings)
    config.read_bytes = lambda: app.budget.read_bytes
    config.share_bodies(app.budget.total_bytes)
    config.contested_bytes = lambda: app.context.registry.blobs.readers.contested_bytes
    if listener is not None:
        config.bind = [f"fd://{listener}"]
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            if config.certificate is not None:
                nursery.start_soon(config.certificate.keep_current, bell or Bell())
            nursery.start_soon(_stop_when, until_stopped, stop, app, health, settings.drain_notice_s)
            on_listening(await nursery.start(_serve, app, config, stop, nursery.cancel_scope))
            await stop.wait()
            nursery.cancel_scope.deadline = trio.current_time() + settings.drain_timeout_s + DRAIN_SLACK_S
            await _until_quiet(app)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        log_others(group, cause)
        if isinstance(cause, OSError):
            raise _cannot_listen(settings, cause) from group
        raise cause from group


async def _serve(
    app: "RegistryApp",
    config: ServerConfig,
    stop: trio.Event,
    everything: trio.CancelScope,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    await serve(app, config, stop=stop, task_status=task_status)
    everything.cancel()


async def _until_quiet(app: "RegistryApp") -> None:
    """Wait until no request has been under way for a while. The remaining connections bring nothing any more.

    If a client sends its next request just after the last answer, as clients do that keep connections, and the stop
    comes in between, hypercorn waits for it for ever.
    """
    quiet_s = 0.0
    while quiet_s < CLOSE_S:
        await trio.sleep(POLL_S)
        quiet_s = 0.0 if app.under_way else quiet_s + POLL_S


async def _stop_when(
    until_stopped: Callable[[], Awaitable[bool]],
    stop: trio.Event,
    app: "RegistryApp",
    health: "Health",
    notice_s: float,
) -> None:
    """Stop being ready at once, and keep listening for clients that see this only at their next probe."""
    health.draining = await until_stopped()
    app.draining = True
    if health.draining and health.is_watched:
        log.info("leaving", listening_for_s=notice_s)
        await trio.sleep(notice_s)
    stop.set()


def _config(settings: HttpSettings) -> ServerConfig:
    """Return hypercorn's configuration. Raises `StartupError` if the certificate cannot be used."""
    config = ServerConfig()
    config.bind = [f"{settings.address}:{settings.port}"]
    config.include_server_header = False
    config.send_stall_s = settings.send_stall_timeout_s
    config.head_timeout_s = settings.head_timeout_s
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = settings.max_connections
    config.admission = Admission(
        most if files == resource.RLIM_INFINITY else connections_for(files, most), settings.head_memory_bytes
    )
    config.graceful_timeout = settings.drain_timeout_s
    config.max_app_queue_size = 1
    config.h11_max_incomplete_size = 64 * 1024
    config.accesslog = None
    config.errorlog = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            config.use_certificate(settings.tls_cert, settings.tls_key, settings.tls_ca, settings.tls_min_version)
        except OSError as error:  # `ssl.SSLError` is one
            used = [str(file) for file in (settings.tls_cert, settings.tls_key, settings.tls_ca) if file is not None]
            msg = f"http.tls: {' and '.join(used)} cannot be used: {error.strerror or error}"
            raise StartupError(msg) from error
    return config


def _cannot_listen(settings: HttpSettings, error: OSError) -> StartupError:
    """Say why, and what to do about it."""
    remedy = _REMEDIES.get(error.errno or 0, "")
    return StartupError(f"cannot listen on {settings.address}:{settings.port}: {error.strerror or error}{remedy}")
