"""A worker: the process that a supervisor started to run one replica."""

import faulthandler
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.concurrency import plain_errors
from zotpy.listening import STOP_SIGNALS
from zotpy.reloading import reopen_logs
from zotpy.server import run_replica
from zotpy.startup import StartupError
from zotpy.telemetry.logs import configure_logs
from zotpy.telemetry.metrics import Metrics
from zotpy.telemetry.sharing import abandon, share_metrics
from zotpy.workers.orders import BEAT, BEATS, STOP, Lines, Order, Reload, Report
from zotpy.workers.process import TELL_WHERE

RECEIVE_BYTES = 4096
WORD_S = 2.0
"""How long the supervisor's word may take after a signal to both. If it does not come, this worker ends alone."""

log = structlog.get_logger()


def main(link_descriptor: int) -> None:
    """Do what the supervisor orders, until it says stop or ends. A start that fails is reported, exit code 1."""
    link = socket.socket(fileno=link_descriptor)
    try:
        order = Order.receive(link)
    except EOFError:
        return
    settings = order.settings
    faulthandler.register(TELL_WHERE, all_threads=True, chain=False)
    configure_logs(settings.log.level, settings.log.format, settings.log.output)
    structlog.contextvars.bind_contextvars(worker=order.worker)
    share_metrics(order.metrics, order.worker)
    try:
        is_abandoned = trio.run(_work, order, link, strict_exception_groups=True)
    except StartupError as error:
        _report(link, Report(failure=str(error)))
        sys.exit(1)
    if is_abandoned:
        abandon(order.metrics, order.worker)


async def _work(order: Order, link: socket.socket) -> bool:
    """Run the replica, and return whether the supervisor has ended meanwhile."""
    stop, told, bell = trio.Event(), trio.Event(), Bell()
    grants = Grants(order.settings.http.access)
    is_listening = is_abandoned = False

    def leave(why: str) -> None:
        if stop.is_set():
            return
        log.info("stopping", why=why)
        stop.set()
        if not is_listening:
            nursery.cancel_scope.cancel()

    def report(binds: list[str]) -> None:
        nonlocal is_listening
        is_listening = True
        _report(link, Report(listening=tuple(binds)))

    async def watch_link() -> None:
        nonlocal is_abandoned
        is_abandoned = not await _told_to_stop(link, bell, grants)
        told.set()
        leave("the supervisor has ended" if is_abandoned else "the supervisor says so")

    async def until_stopped() -> bool:
        await stop.wait()
        with trio.move_on_after(WORD_S):
            await told.wait()
        # without a supervisor we give no notice: the next supervisor wants the port
        return told.is_set() and not is_abandoned

    with plain_errors():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_link)
            nursery.start_soon(_beat, link, order.settings.http.worker_timeout_s / BEATS)
            nursery.start_soon(_watch_signals, leave)
            nursery.start_soon(_watch_hangups, bell)
            metrics = Metrics(is_shared=True)
            await run_replica(order.settings, metrics, until_stopped, report, order.listener, bell, grants)
            nursery.cancel_scope.cancel()
    return is_abandoned


async def _told_to_stop(link: socket.socket, bell: Bell, grants: Grants) -> bool:
    """Wait until the supervisor says stop, or has ended, which is `False`. Reload when it says so."""
    receiving = trio.socket.from_stdlib_socket(link)

    async def receive() -> bytes:
        try:
            return await receiving.recv(RECEIVE_BYTES)
        except OSError:
            return b""

    async for line in Lines(receive):
        if line == STOP:
            return True
        reload = Reload.decode(line)
        await trio.to_thread.run_sync(grants.renew, reload.access)  # conditions take milliseconds each
        reopen_logs(reload.log)
        bell.ring()
    return False


async def _beat(link: socket.socket, every_s: float) -> None:
    """Send the supervisor a beat while this loop runs. If the supervisor does not read for a day, it misses some."""
    while True:
        _say(link, BEAT)
        await trio.sleep(every_s)


async def _watch_hangups(bell: Bell) -> None:
    """Check the certificate at SIGHUP. The supervisor, which gets the same signal, tells the rest."""
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        async for _ in signals:
            bell.ring()


async def _watch_signals(leave: Callable[[str], None]) -> None:
    """End at the first signal. Later ones say nothing new: Ctrl-C and systemd tell the supervisor as well as us."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        async for number in signals:
            leave(signal.Signals(number).name)


def _report(link: socket.socket, report: Report) -> None:
    """Send a report."""
    _say(link, report.encode())


def _say(link: socket.socket, line: bytes) -> None:
    """Send a line, which is far shorter than what a socket accepts at once."""
    with suppress(OSError):  # the supervisor has ended, which `watch_link` sees, or does not read for now
        link.send(line + b"\n")
