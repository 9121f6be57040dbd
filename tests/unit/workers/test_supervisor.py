"""What the supervisor decides: which worker starts again and when, what ends a start, and what the end waits for."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.notices import notice_socket
from zotpy import startup
from zotpy.restarts import FIRST_DELAY_S
from zotpy.settings import AccessSettings, GrantSettings, HttpSettings, S3Settings, Settings, Source, StorageSettings
from zotpy.startup import StartupError
from zotpy.workers import supervise, supervisor
from zotpy.workers.orders import Order, Reload, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from trio.testing import MockClock

SETTINGS = Settings(
    http=HttpSettings(port=0, workers=2, drain_timeout_s=30.0), storage=StorageSettings(s3=S3Settings("b"))
)
LISTENING = Report(("http://127.0.0.1:1",))


@dataclass
class Life:
    """What one worker will do: its report, and its end, by itself or once it is told to stop."""

    report_: Report = LISTENING
    status: int = 0
    is_deaf: bool = False
    """It does not end when it is told to."""
    dead: trio.Event = field(default_factory=trio.Event)
    order: Order | None = None
    is_killed: bool = False
    is_hung: bool = False
    """It is silent from now on."""
    is_stuck: bool = False
    """It does not even end when it is killed."""
    reloads: list[Reload] = field(default_factory=list)
    pid: int = 1
    _beats: int = 0

    @property
    def beats(self) -> int:
        """Beat at each look."""
        self._beats += not self.is_hung
        return self._beats

    async def reload(self, reload: Reload) -> bool:
        """Take note of it, unless it reads nothing any more."""
        await trio.lowlevel.checkpoint()
        self.reloads.append(reload)
        return not self.is_deaf

    async def end_hung(self) -> None:
        """Die."""
        await trio.lowlevel.checkpoint()
        if not self.is_stuck:
            self.status = -signal.SIGKILL
            self.dead.set()

    async def report(self) -> Report:
        """Report at once; a worker that does not listen is dead by then."""
        if not self.report_.listening:
            self.dead.set()
        await trio.lowlevel.checkpoint()
        return self.report_

    async def stop(self) -> None:
        """End, if it listens to us."""
        await trio.lowlevel.checkpoint()
        if not self.is_deaf:
            self.dead.set()

    async def ended(self) -> int:
        """Wait for the end."""
        await self.dead.wait()
        return self.status


@dataclass
class Scene:
    """Workers that live as the test says; the third start of a worker is the third of its lives."""

    lives: dict[int, list[Life]]
    started: list[tuple[int, float]] = field(default_factory=list)
    """Which worker was started, and when, in seconds from the beginning."""

    @asynccontextmanager
    async def running(self, order: Order) -> AsyncIterator[Life]:
        """Take the place of the function that starts processes."""
        life = self.lives[order.worker].pop(0)
        life.order = order
        self.started.append((order.worker, trio.current_time()))
        try:
            yield life
        finally:
            life.is_killed = not life.dead.is_set()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    """Set the scene: the lives of worker 1, and of worker 2."""
    before = signal.getsignal(signal.SIGTERM)

    def _play(*lives: list[Life]) -> Scene:
        scene = Scene(dict(enumerate(lives, 1)))
        monkeypatch.setattr(supervisor, "running", scene.running)
        return scene

    yield _play
    signal.signal(signal.SIGTERM, before)


async def until_idle() -> None:
    """Let everything happen that can without time going on."""
    await trio.testing.wait_all_tasks_blocked()


async def test_all_listen_before_it_is_said(play: Callable[..., Scene]) -> None:
    """The registry is announced once, after the last worker, and SIGTERM ends all."""
    lives = [Life(), Life()]
    play([lives[0]], [lives[1]])
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, SETTINGS)
            await until_idle()
            signal.raise_signal(signal.SIGTERM)
    events = [entry["event"] for entry in logs]
    assert events == ["worker started", "worker started", "serving", "stopping"]
    assert logs[2]["workers"] == 2
    assert [life.order and life.order.worker for life in lives] == [1, 2]
    assert not any(life.is_killed for life in lives)


async def test_a_worker_that_cannot_start_ends_all(play: Callable[..., Scene]) -> None:
    """The first start fails as a whole, with the words of the worker that failed."""
    good = Life()
    play([good], [Life(Report(failure="the bucket 'b' is gone"), status=1)])
    with pytest.raises(StartupError, match="the bucket 'b' is gone"):
        await supervise(SETTINGS)
    assert good.is_killed


async def test_a_worker_that_dies_at_its_start_ends_all(play: Callable[..., Scene]) -> None:
    """Where it left no words, the signal that ended it is named."""
    play([Life()], [Life(Report(), status=-signal.SIGSEGV)])
    with pytest.raises(StartupError, match="ended by SIGSEGV"):
        await supervise(SETTINGS)


async def test_a_dead_worker_is_started_again(play: Callable[..., Scene], autojump_clock: MockClock) -> None:
    """Later than at once, ever later while it cannot start, and without the other one; failures end nothing now."""
    del autojump_clock
    first = Life(status=-signal.SIGKILL)
    unlucky = [Life(Report(failure="no store"), status=1) for _ in range(2)]
    last = Life()
    scene = play([first, *unlucky, last], [Life()])
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, SETTINGS)
            await until_idle()
            began = trio.current_time()
            first.dead.set()
            while last.order is None:  # noqa: ASYNC110 - time goes on by itself
                await trio.sleep(1)
            await until_idle()
            signal.raise_signal(signal.SIGINT)
    moments = [at - began for worker, at in scene.started[2:] if worker == 1]
    assert moments == pytest.approx([FIRST_DELAY_S, 3 * FIRST_DELAY_S, 7 * FIRST_DELAY_S])
    assert len(scene.started) == 5
    ends = [entry["why"] for entry in logs if entry["event"] == "worker ended"]
    assert ends == ["a worker was ended by SIGKILL", "no store", "no store"]
    assert [entry["event"] for entry in logs].count("serving") == 1


async def test_the_stop_waits_for_no_restart(play: Callable[..., Scene], mock_clock: MockClock) -> None:
    """A worker that is to be started again later is not started any more; the clock stands still here."""
    del mock_clock
    first = Life(status=1)
    scene = play([first], [Life()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, SETTINGS)
        await until_idle()
        first.dead.set()
        await until_idle()
        signal.raise_signal(signal.SIGTERM)
    assert len(scene.started) == 2


async def test_the_drain_is_bounded(play: Callable[..., Scene], autojump_clock: MockClock) -> None:
    """A worker that does not end is killed in the end, and the supervisor ends in order."""
    del autojump_clock
    deaf = Life(is_deaf=True)
    play([Life()], [deaf])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, SETTINGS)
        await until_idle()
        began = trio.current_time()
        signal.raise_signal(signal.SIGTERM)
    assert deaf.is_killed
    assert 30 < trio.current_time() - began < 60


async def test_a_process_that_cannot_be_made_is_tried_again(
    play: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A system out of processes ends a first start in words, and only delays a later one."""
    del autojump_clock
    first = Life(status=1)
    scene = play([first, Life()], [Life()])
    failures = 2

    @asynccontextmanager
    async def running(order: Order) -> AsyncIterator[Life]:
        nonlocal failures
        if first.dead.is_set() and failures:
            failures -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        async with scene.running(order) as life:
            yield life

    monkeypatch.setattr(supervisor, "running", running)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, SETTINGS)
        await until_idle()
        first.dead.set()
        while len(scene.started) < 3:  # noqa: ASYNC110 - time goes on by itself
            await trio.sleep(1)
        signal.raise_signal(signal.SIGTERM)
    assert failures == 0
    failures = 1
    with pytest.raises(StartupError, match="Resource temporarily unavailable"):
        await supervise(SETTINGS)


async def test_a_worker_that_hangs_is_replaced(play: Callable[..., Scene], autojump_clock: MockClock) -> None:
    """One that beats no more is ended and started again, after as long as the setting says; the other one goes on."""
    del autojump_clock
    first, other, second = Life(), Life(), Life()
    play([first, second], [other])
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, SETTINGS)
            await trio.sleep(1000)
            assert not first.dead.is_set()
            first.is_hung = True
            began = trio.current_time()
            with trio.fail_after(1000):
                while second.order is None:  # noqa: ASYNC110 - time goes on by itself
                    await trio.sleep(0.1)
            timeout_s = SETTINGS.http.worker_timeout_s
            assert timeout_s * 0.7 <= trio.current_time() - began <= timeout_s * 1.5
            assert not other.dead.is_set()
            signal.raise_signal(signal.SIGTERM)
    (hangs,) = [entry for entry in logs if entry["event"] == "worker hangs"]
    assert (hangs["worker"], hangs["log_level"]) == (1, "error")
    assert [entry["why"] for entry in logs if entry["event"] == "worker ended"] == [supervisor.HUNG]


async def test_a_machine_that_slept_kills_no_worker(play: Callable[..., Scene], mock_clock: MockClock) -> None:
    """If all were stopped together, the clock has gone on, but each worker gets its time from then on."""
    lives = [Life(), Life()]
    play([lives[0]], [lives[1]])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, SETTINGS)
        await until_idle()
        for life in lives:
            life.is_hung = True  # nobody could say anything
        for _ in range(2):
            mock_clock.jump(86400)
            await until_idle()
        for life in lives:
            life.is_hung = False
        assert not any(life.dead.is_set() for life in lives)
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_the_watchdog_sees_workers(
    play: Callable[..., Scene],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
    is_stuck: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    """It is fed while workers beat or are replaced, and hears nothing once one hangs that cannot be ended."""
    del autojump_clock
    first = Life(is_stuck=is_stuck)
    play([first, Life()], [Life()])
    with notice_socket() as notices:
        monkeypatch.setenv("NOTIFY_SOCKET", notices.address)
        monkeypatch.setenv("WATCHDOG_USEC", "20000000")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, SETTINGS)
            await trio.sleep(100)
            first.is_hung = True
            await trio.sleep(2 * SETTINGS.http.worker_timeout_s + 20)
            assert ["WATCHDOG=1"] in notices.received()
            await trio.sleep(100)
            assert (["WATCHDOG=1"] in notices.received()) is not is_stuck
            first.dead.set()
            signal.raise_signal(signal.SIGTERM)


async def test_sighup_reaches_every_worker(
    play: Callable[..., Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told to reload, with the log's level of the file; one that is started later has it as well."""
    configured: list[tuple[str, ...]] = []
    monkeypatch.setattr(startup, "configure_logs", lambda *words: configured.append(words))
    file = tmp_path / "config.yaml"
    file.write_text("log: {level: info}")
    settings = replace(SETTINGS, source=Source(file, {}))
    lives = [Life(), Life()]
    play([lives[0], Life()], [lives[1]])
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, settings)
            await until_idle()
            file.write_text("log: {level: warn}\nhttp: {port: 1}")
            signal.raise_signal(signal.SIGHUP)
            with trio.fail_after(60):
                while not all(life.reloads for life in lives):  # noqa: ASYNC110 - nobody tells us
                    await trio.sleep(0.01)
            assert [[word.log.level for word in life.reloads] for life in lives] == [["warn"], ["warn"]]
            signal.raise_signal(signal.SIGTERM)
    assert configured == [("warn", "auto", "stderr")]
    assert [entry["needs_restart"] for entry in logs if entry["event"] == "reloaded"] == [["http", "storage"]]


def with_rules(action: str) -> AccessSettings:
    """Return rules that differ by an action."""
    return AccessSettings(admin=GrantSettings(users=frozenset({"root"}), actions=frozenset({action})))


@pytest.fixture
def reload(monkeypatch: pytest.MonkeyPatch) -> Callable[[AccessSettings], Awaitable[None]]:
    """Return what reloads: it takes the place of what waits for SIGHUP."""
    given: list[Callable[[Settings], Awaitable[None]]] = []

    async def keep_reloading(settings: Settings, then: Callable[[Settings], Awaitable[None]]) -> None:
        del settings
        given.append(then)
        await trio.sleep_forever()

    async def _reload(access: AccessSettings) -> None:
        await given[0](replace(SETTINGS, http=replace(SETTINGS.http, access=access)))

    monkeypatch.setattr(supervisor, "keep_reloading", keep_reloading)
    return _reload


async def test_a_worker_that_is_being_made_has_the_new_rules(
    play: Callable[..., Scene],
    monkeypatch: pytest.MonkeyPatch,
    reload: Callable[[AccessSettings], Awaitable[None]],
) -> None:
    """Its order was written before the reload. So it is told again, and a worker whose order was new is not."""
    life = Life()
    scene = play([life], [Life()])
    making, made = trio.Event(), trio.Event()

    @asynccontextmanager
    async def slowly(order: Order) -> AsyncIterator[Life]:
        if order.worker == 1:
            making.set()
            await made.wait()
        async with scene.running(order) as life:
            yield life

    monkeypatch.setattr(supervisor, "running", slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, SETTINGS)
        with trio.fail_after(60):
            await making.wait()
        await until_idle()
        await reload(with_rules("read"))
        assert life.reloads == []
        made.set()
        await until_idle()
        assert [word.access for word in life.reloads] == [with_rules("read")]
        signal.raise_signal(signal.SIGTERM)


async def test_a_worker_that_takes_no_reload_is_replaced(
    play: Callable[..., Scene],
    autojump_clock: MockClock,
    reload: Callable[[AccessSettings], Awaitable[None]],
) -> None:
    """It would go on with the old rules. The next one begins with the new ones."""
    del autojump_clock
    first, second = Life(is_deaf=True), Life()
    play([first, second], [Life()])
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, SETTINGS)
            await until_idle()
            await reload(with_rules("delete"))
            with trio.fail_after(60):
                while second.order is None:  # noqa: ASYNC110 - nobody tells us
                    await trio.sleep(0.1)
            assert second.order.settings.http.access == with_rules("delete")
            assert second.reloads == []
            await until_idle()
            signal.raise_signal(signal.SIGTERM)
    assert [entry["worker"] for entry in logs if entry["event"] == "worker takes no reload"] == [1]
