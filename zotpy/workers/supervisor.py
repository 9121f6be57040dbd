"""The supervisor: one socket, workers that accept from it, each started again when it dies, all drained at the end."""

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
import trio

from zotpy.concurrency import plain_errors
from zotpy.listening import bind, longest_end_s, until_signal
from zotpy.reloading import keep_reloading
from zotpy.restarts import Restarts
from zotpy.services import Service, run_beside
from zotpy.settings import Settings
from zotpy.startup import StartupError, announce
from zotpy.storage import running_store
from zotpy.systemd import Systemd
from zotpy.telemetry.logs import at_every_level
from zotpy.telemetry.sharing import forget_gauges, metrics_directory
from zotpy.workers.orders import BEATS, Order, Reload, Report
from zotpy.workers.process import Worker, running
from zotpy.workers.pulse import Pulse

HUNG = "a worker hung: its event loop had stopped"
EXIT_SLACK_S = 10.0
"""How much longer than its drain a worker may take before it is killed."""

log = structlog.get_logger()


async def supervise(settings: Settings) -> None:
    """Run `settings.http.workers` workers until SIGTERM or SIGINT, then wait until they have drained.

    Raises `StartupError` if one of them cannot start. For the main thread only.
    """
    systemd = Systemd.of(os.environ)
    for warning in settings.warnings:
        at_every_level.warning("configuration", message=warning)
    with plain_errors(), bind(settings.http) as listener, metrics_directory() as metrics:
        async with running_store(settings.storage) as s3:
            # clients do not reach the embedded store, so nothing is redirected to it
            redirects = settings.storage.redirect_blob_url and settings.storage.s3 is not None
            storage = replace(settings.storage, s3=s3, redirect_blob_url=redirects)
            await _Supervisor(settings, replace(settings, storage=storage), listener, metrics, systemd).run()


class _Supervisor:
    """The workers of one port."""

    def __init__(
        self, settings: Settings, told: Settings, listener: socket.socket, metrics: Path, systemd: Systemd
    ) -> None:
        """`told` are the settings for workers."""
        self._settings = settings
        self._told = told
        self._listener = listener
        self._metrics = metrics
        self._systemd = systemd
        systemd.is_well = lambda: all(pulse.is_well for pulse in self._pulses.values())
        self._pulses: dict[int, Pulse] = {}
        """The workers that run."""
        self._processes: dict[int, Worker] = {}
        self._stop = trio.Event()
        self._starting = set(range(1, settings.http.workers + 1))
        """Workers that have not listened even once."""

    async def run(self) -> None:
        """Run until a signal, and until every worker has ended. Raises `StartupError`."""
        services = [Service(self._systemd.keep_told), Service(partial(keep_reloading, self._settings, self._reload))]
        await run_beside(services, self._run_all)

    async def _run_all(self, _: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            for worker in tuple(self._starting):
                nursery.start_soon(self._keep_running, worker)
            await until_signal()
            longest_s = longest_end_s(self._settings.http) + EXIT_SLACK_S
            self._systemd.stopping(longest_s)
            self._listener.close()
            self._stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + longest_s
        if nursery.cancel_scope.cancelled_caught:
            log.error("workers did not end by themselves, and were killed")

    async def _keep_running(self, worker: int) -> None:
        """Start the worker, and start it again whenever it ends, until told to stop."""
        restarts = Restarts()
        while not self._stop.is_set():
            started = trio.current_time()
            why = await self._run(worker)
            forget_gauges(self._metrics, worker)
            if self._stop.is_set():
                return
            if worker in self._starting:
                raise StartupError(why)
            delay_s = restarts.delay_s(trio.current_time() - started)
            log.error("worker ended", worker=worker, why=why, restart_in_s=delay_s)
            with trio.move_on_after(delay_s):
                await self._stop.wait()

    async def _run(self, worker: int) -> str:
        """Run the worker once and say why it ended."""
        order = Order(worker, self._told_to(worker), self._listener.fileno(), self._metrics)
        try:
            async with running(order) as process:
                return await self._watch(worker, process, order.settings)
        except OSError as error:
            return f"no process can be started: {error.strerror}"

    def _told_to(self, worker: int) -> Settings:
        """Let only the first worker collect garbage, if the server does so at all."""
        return self._told if worker == 1 else replace(self._told, gc=replace(self._told.gc, interval_s=0.0))

    async def _watch(self, worker: int, process: Worker, ordered: Settings) -> str:
        self._processes[worker] = process
        pulse = self._pulses[worker] = Pulse()
        try:
            async with trio.open_nursery() as nursery:
                if self._told_to(worker) != ordered:  # there was a reload while the process was made
                    nursery.start_soon(self._tell_again, worker, process)
                nursery.start_soon(self._pass_stop_on, process)
                hung = trio.Event()
                nursery.start_soon(self._watch_pulse, worker, process, pulse, hung)
                report = await process.report()
                if report.listening:
                    self._on_listening(worker, process, report)
                status = await process.ended()
                nursery.cancel_scope.cancel()
        finally:
            del self._processes[worker], self._pulses[worker]
        return report.failure or (HUNG if hung.is_set() else describe(status))

    async def _watch_pulse(self, worker: int, process: Worker, pulse: Pulse, hung: trio.Event) -> None:
        """End the worker when its event loop has been silent for too long."""
        timeout_s = self._settings.http.worker_timeout_s
        while True:
            await trio.sleep(timeout_s / BEATS)
            if pulse.look(process.beats):
                hung.set()
                log.error("worker hangs", worker=worker, pid=process.pid, silent_for_s=timeout_s)
                await process.end_hung()

    async def _reload(self, settings: Settings) -> None:
        """Pass on what is new, also to workers that are started later."""
        http = replace(self._told.http, access=settings.http.access)
        self._told = replace(self._told, log=settings.log, http=http)
        async with trio.open_nursery() as nursery:
            for worker, process in self._processes.items():
                nursery.start_soon(self._tell_again, worker, process)

    async def _tell_again(self, worker: int, process: Worker) -> None:
        """Tell a worker what holds now. If it does not take that, end it: it would keep the old rules of access."""
        if not await process.reload(Reload(self._told.log, self._told.http.access)):
            log.error("worker takes no reload", worker=worker, pid=process.pid)
            await process.end_hung()

    async def _pass_stop_on(self, process: Worker) -> None:
        await self._stop.wait()
        await process.stop()

    def _on_listening(self, worker: int, process: Worker, report: Report) -> None:
        """Announce the registry when the last of the first workers listens."""
        log.info("worker started", worker=worker, pid=process.pid)
        was_starting = bool(self._starting)
        self._starting.discard(worker)
        if was_starting and not self._starting:
            announce(self._settings, list(report.listening))
            self._systemd.ready(list(report.listening))


def describe(status: int) -> str:
    """Say how a worker ended, from its exit code or, negative, its signal."""
    if status < 0:
        return f"a worker was ended by {signal.Signals(-status).name}"
    return f"a worker ended with exit code {status}"
