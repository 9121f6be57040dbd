"""Signals that stop a command, at each moment at which they may come. `test_stopped.py` of `blackbox` has processes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.commands.stopping import stoppable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Have the signals as at a terminal, and leave them as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def work() -> str:
    """Do what takes one step."""
    await trio.lowlevel.checkpoint()
    return "done"


def test_a_signal_before_the_work() -> None:
    """Nothing is begun that can be given up."""
    with stoppable() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert trio.run(stop.run, work) is None
        assert (stop.said, stop.exit_code) == ("SIGTERM", 143)


def test_a_signal_during_the_work_lets_it_clean_up() -> None:
    """The work is cancelled where it waits next, and not interrupted before. The summary names the first signal."""
    steps = []

    async def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        steps.append("went on")
        try:
            await trio.sleep_forever()
        finally:
            steps.append("cleaned up")

    with stoppable() as stop:
        assert trio.run(stop.run, interrupted) is None
        assert (stop.said, stop.exit_code) == ("Ctrl-C", 130)
    assert steps == ["went on", "cleaned up"]


def test_a_signal_after_the_work_changes_nothing() -> None:
    """Everything was done, and a summary is printed whole."""
    with stoppable() as stop:
        assert trio.run(stop.run, work) == "done"
        signal.raise_signal(signal.SIGTERM)
        assert (stop.said, stop.exit_code) == ("", 0)


def test_an_error_of_the_cleaning_up_does_not_hide_the_signal() -> None:
    """The work fails while it is cancelled: it was stopped all the same."""

    async def fails() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            msg = "the store does not answer"
            raise OSError(msg)

    with stoppable() as stop:
        with pytest.raises(OSError, match="does not answer"):
            trio.run(stop.run, fails)
        assert stop.exit_code == 143


def test_a_second_ctrl_c_is_left_to_the_system() -> None:
    """It then ends the process. After the block all is as before."""
    with stoppable():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_stays_ignored() -> None:
    """A shell starts programs in the background so, and its Ctrl-C is not for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        assert trio.run(stop.run, work) == "done"
        assert stop.exit_code == 0
