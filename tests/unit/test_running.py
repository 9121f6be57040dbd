"""What a command prints at its end, whatever ended its work. `test_stopped.py` of `blackbox` has real signals."""

from __future__ import annotations

import pytest

from zotpy.commands.running import run_told
from zotpy.store.interface import StoreError


def test_the_result_is_told() -> None:
    """Once, and nothing else is said."""
    told: list[object] = []

    async def work() -> str:
        return "done"

    assert run_told(work, told.append, told.append, "run it again") == ("done", 0)
    assert told == ["done"]


def test_a_store_that_fails_in_the_middle_is_told_after_the_reason() -> None:
    """The command says why it failed, and then what it has done, without a result."""
    told: list[object] = []

    async def work() -> str:
        msg = "the bucket is gone"
        raise StoreError(msg)

    assert run_told(work, told.append, told.append, "run it again") == (None, 0)
    assert told == ["the bucket is gone", None]


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    """The command says what it has done, without a result, and the error goes on."""
    told: list[object] = []

    async def work() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_told(work, told.append, told.append, "run it again")
    assert told == [None]
