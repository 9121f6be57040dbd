"""What systemd hears of a replica, on a real datagram socket."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.notices import NoticeSocket, notice_socket
from zotpy.systemd import EXTEND_S, Systemd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

WATCHDOG = ["WATCHDOG=1"]
EXTEND = ["EXTEND_TIMEOUT_USEC=30000000"]


@pytest.fixture(params=["path", "abstract"])
def notices(request: pytest.FixtureRequest) -> Iterator[NoticeSocket]:
    """Return a socket with each kind of address that systemd gives."""
    with notice_socket(None if request.param == "path" else f"@zotpy/{uuid.uuid4().hex}") as opened:
        yield opened


async def run_for(systemd: Systemd, seconds: float) -> None:
    """Keep systemd told for a while."""
    with trio.move_on_after(seconds):
        await systemd.keep_told()
        await trio.sleep_forever()


def test_readiness_is_told_with_the_address(notices: NoticeSocket) -> None:
    """READY=1 comes with a status for people, at either kind of address."""
    Systemd(notices.address).ready(["http://127.0.0.1:5000"])
    assert notices.receive() == ["READY=1", "STATUS=answering at http://127.0.0.1:5000"]


async def test_the_watchdog_is_fed_twice_as_often_as_it_asks(notices: NoticeSocket, autojump_clock: MockClock) -> None:
    """Within WATCHDOG_USEC it hears of us twice, from the beginning on."""
    del autojump_clock
    systemd = Systemd.of({"NOTIFY_SOCKET": notices.address, "WATCHDOG_USEC": "20000000"})
    await run_for(systemd, 35)
    assert notices.received() == [WATCHDOG] * 4


async def test_a_loop_that_hangs_is_silent(notices: NoticeSocket, nursery: trio.Nursery) -> None:
    """While a task does not let the others run, the watchdog hears nothing, and hears again after it."""
    nursery.start_soon(Systemd(notices.address, watchdog_s=0.02).keep_told)
    await trio.testing.wait_all_tasks_blocked()
    notices.received()
    with pytest.raises(TimeoutError):
        notices.receive(0.5)
    while not notices.received():  # noqa: ASYNC110 - nobody tells us
        await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


async def test_the_drain_asks_for_time_while_it_may_last(notices: NoticeSocket, autojump_clock: MockClock) -> None:
    """STOPPING=1 comes first, then a little more time again and again, until the drain must have ended."""
    del autojump_clock
    systemd = Systemd(notices.address)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, systemd, 3600)
        await trio.sleep(1)
        assert notices.received() == []
        systemd.stopping(2.5 * EXTEND_S / 3)
    assert notices.received() == [["STOPPING=1", "STATUS=draining: requests under way may take 25 s"], *[EXTEND] * 3]


def test_nothing_is_left_for_other_processes(notices: NoticeSocket) -> None:
    """The variables are taken out of the environment: a store or a worker that we start must not speak for us."""
    environ = {
        "NOTIFY_SOCKET": notices.address,
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    Systemd.of(environ).ready([])
    assert environ == {"HOME": "/"}
    assert notices.receive()[0] == "READY=1"


@pytest.mark.parametrize(
    "watchdog", [{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-1"}, {}]
)
async def test_a_watchdog_that_is_not_ours_is_not_fed(
    notices: NoticeSocket, autojump_clock: MockClock, watchdog: dict[str, str]
) -> None:
    """Neither if another process is watched, nor if none is."""
    del autojump_clock
    await run_for(Systemd.of({"NOTIFY_SOCKET": notices.address, **watchdog}), 60)
    assert notices.received() == []


async def test_without_systemd_nothing_happens(autojump_clock: MockClock) -> None:
    """A replica that a person starts tells nobody, and nothing waits for that."""
    del autojump_clock
    with capture_logs() as logs:
        systemd = Systemd.of({"WATCHDOG_USEC": "1000000"})
        systemd.ready(["http://127.0.0.1:5000"])
        systemd.stopping(60)
        await systemd.keep_told()
    assert logs == []


async def test_a_systemd_that_does_not_listen_stops_nothing(notices: NoticeSocket, autojump_clock: MockClock) -> None:
    """What is said again and again never waits: with its queue full the loop goes on, and it hears of us later."""
    del autojump_clock
    with capture_logs() as logs:
        await run_for(Systemd(notices.address, watchdog_s=0.02), 60)
    assert {entry["event"] for entry in logs} == {"systemd_not_told"}
    assert notices.received() != []


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody", "/" + "x" * 200, "vsock:2:1234"])
def test_a_socket_that_cannot_be_used_is_a_warning(address: str) -> None:
    """The registry goes on serving if nobody listens, or if the address is of an unknown kind."""
    with capture_logs() as logs:
        Systemd.of({"NOTIFY_SOCKET": address}).ready([])
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [("warning", "systemd_not_told")]
