"""What supervisor and worker say to each other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio

from zotpy.settings import LogSettings, S3Settings, Settings, StorageSettings
from zotpy.workers.orders import BEAT, STOP, Lines, Order, Reload, Report

SETTINGS = Settings(storage=StorageSettings(s3=S3Settings("b", access_key="a", secret_key="hush")))
ORDER = Order(2, SETTINGS, 7, Path("/tmp/x"))  # noqa: S108 - nothing is there


def test_an_order_arrives_whole() -> None:
    """All settings, secrets too, reach the worker over the link, so that none is on a command line."""
    supervisor, worker = socket.socketpair()
    with supervisor, worker:
        supervisor.sendall(ORDER.encode())
        assert Order.receive(worker) == ORDER


def test_the_word_to_stop_may_come_right_behind_the_order() -> None:
    """A supervisor that is stopped at once is not taken for dead: its worker would take its metrics away."""
    supervisor, worker = socket.socketpair()
    with supervisor, worker:
        supervisor.sendall(ORDER.encode() + STOP)
        assert Order.receive(worker) == ORDER
        assert worker.recv(100) == STOP


@pytest.mark.parametrize("length", [0, 5, -1])
def test_an_order_cut_short_is_none(length: int) -> None:
    """The supervisor has died before or while it gave its order."""
    supervisor, worker = socket.socketpair()
    with worker:
        with supervisor:
            supervisor.sendall(ORDER.encode()[:length])
        with pytest.raises(EOFError):
            Order.receive(worker)


@pytest.mark.parametrize("report", [Report(("http://[::1]:5000",)), Report(failure="the bucket\n'ö' is gone")])
def test_a_report_is_one_line(report: Report) -> None:
    """A report comes back as it was, whatever signs are in it."""
    line = report.encode()
    assert b"\n" not in line
    assert line != BEAT
    assert Report.decode(line) == report


def test_a_word_to_reload_is_one_line() -> None:
    """It does not say stop."""
    reload = Reload(LogSettings("error", "json", "/var/log/a\nb"))
    line = reload.encode()
    assert b"\n" not in line
    assert line != STOP
    assert Reload.decode(line) == reload


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_lines_are_found_wherever_they_are_cut(size: int) -> None:
    """What comes in pieces is the same lines. One that the other side's death cut short does not count."""
    text = b"\n\nreport\n\n!\ncut"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]

    async def receive() -> bytes:
        await trio.lowlevel.checkpoint()
        return pieces.pop(0) if pieces else b""

    assert [line async for line in Lines(receive)] == [BEAT, BEAT, b"report", BEAT, STOP]
