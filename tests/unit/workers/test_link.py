"""What supervisor and worker say to each other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from zotpy.config import S3Settings, Settings, StorageSettings
from zotpy.workers.link import STOP, Order, Report

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
    assert line.count(b"\n") == 1
    assert Report.decode(line) == report


def test_a_report_cut_short_says_nothing() -> None:
    """A worker that dies in the middle of its report has neither failed in words nor listened."""
    assert Report.decode(Report(("http://[::1]:5000",)).encode()[:-1]) == Report()
    assert Report.decode(b"") == Report()
