"""Listening for clients with hypercorn: on an address or an inherited socket, until told to stop, then the drain."""

import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from zotpy.config import HttpSettings
from zotpy.registry.concurrency import first_cause
from zotpy.startup import StartupError
from zotpy.web.connections import ServerConfig, serve

if TYPE_CHECKING:
    from zotpy.registry.health import Health
    from zotpy.web.app import RegistryApp

KEEP_ALIVE_S = 75.0
DRAIN_SLACK_S = 5.0
"""What a replica takes beyond `drain_timeout_s`, at most."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT; from then on they do again what they do to any process."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            return


def bind(settings: HttpSettings) -> socket.socket:
    """Bind the socket that workers will listen on; until the first one does, connections are refused.

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
    until_stopped: Callable[[], Awaitable[None]],
    on_listening: Callable[[list[str]], None],
    listener: int | None = None,
) -> None:
    """Accept connections until `until_stopped` returns, then accept none and wait for requests under way.

    `listener` is the descriptor of a socket that is bound already. `on_listening` is told the URLs. Raises
    `StartupError`.
    """
    config = _config(settings)
    if listener is not None:
        config.bind = [f"fd://{listener}"]
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_when, until_stopped, stop, health)
            binds = await nursery.start(partial(serve, app, config, stop=stop))
            on_listening(binds)
            await stop.wait()
            nursery.cancel_scope.deadline = trio.current_time() + settings.drain_timeout_s + DRAIN_SLACK_S
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        if isinstance(cause, OSError):
            raise _cannot_listen(settings, cause) from group
        raise cause from group


async def _stop_when(until_stopped: Callable[[], Awaitable[None]], stop: trio.Event, health: "Health") -> None:
    await until_stopped()
    health.draining = True
    stop.set()


def _config(settings: HttpSettings) -> ServerConfig:
    config = ServerConfig()
    config.bind = [f"{settings.address}:{settings.port}"]
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.send_stall_s = settings.send_stall_timeout_s
    config.graceful_timeout = settings.drain_timeout_s
    config.max_app_queue_size = 1
    config.h11_max_incomplete_size = 64 * 1024
    config.accesslog = None
    config.errorlog = None
    if settings.tls_cert is not None:
        config.certfile, config.keyfile = str(settings.tls_cert), str(settings.tls_key)
    return config


def _cannot_listen(settings: HttpSettings, error: OSError) -> StartupError:
    return StartupError(f"cannot listen on {settings.address}:{settings.port}: {error.strerror or error}")
