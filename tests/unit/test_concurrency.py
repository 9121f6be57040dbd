"""Several calls at once."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from zotpy import concurrency
from zotpy.concurrency import TURN_S, first_cause, gather, in_turns, plain_errors
from zotpy.core.errors import BlobUnknown, TooManyRequests
from zotpy.store.interface import StoreUnavailable
from zotpy.web.errors import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("limit", [1, 2, 64])
async def test_results_are_in_order_and_no_more_run_than_may(count: int, limit: int) -> None:
    """However many calls there are, all are made, and the limit holds for them."""
    running, most = 0, 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20 - number):
            await trio.lowlevel.checkpoint()
        running -= 1
        return number

    assert list(await gather(*(partial(call, n) for n in range(count)), limit=limit)) == list(range(count))
    assert most == min(count, limit)


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_the_first_failure_ends_all(failing: int) -> None:
    """Whichever of the calls fails, its plain error is raised, and the others are cancelled."""
    cancelled = []

    async def call(number: int) -> None:
        if number == failing:
            msg = f"{number} failed"
            raise OSError(msg)
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(number)
            raise

    with trio.fail_after(60), pytest.raises(OSError, match=f"{failing} failed"):
        await gather(*(partial(call, n) for n in range(3)))
    assert set(cancelled) <= {0, 1, 2} - {failing}


async def test_whoever_is_cancelled_cancels_its_calls() -> None:
    """A request that is given up leaves no call behind, and its cancellation is no error."""
    left = 0

    async def call() -> None:
        nonlocal left
        try:
            await trio.sleep_forever()
        finally:
            left += 1

    async def cancel_when_all_wait(scope: trio.CancelScope) -> None:
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_when_all_wait, nursery.cancel_scope)
        await gather(call, call, call)
    assert nursery.cancel_scope.cancelled_caught
    assert left == 3


async def test_all_begin_before_any_goes_on() -> None:
    """Calls that end at their first turn are still made at once, not the first before the others."""
    begun = 0

    async def call() -> int:
        nonlocal begun
        begun += 1
        await trio.lowlevel.checkpoint()
        return begun

    assert list(await gather(call, call, call)) == [3, 3, 3]


def together(*errors: BaseException) -> list[Callable[[], Coroutine[object, object, None]]]:
    """Return calls that fail at the same turn, none cancelled by another."""

    async def fail(error: BaseException) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        raise error

    return [partial(fail, error) for error in errors]


@pytest.mark.parametrize("turned", [False, True])
async def test_a_fault_of_ours_comes_before_one_of_the_store_and_both_are_told(turned: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Whichever came first, the error that nobody foresaw is raised, and the other is in the log."""
    errors: list[BaseException] = [StoreUnavailable("the store is away"), AssertionError("no part is half full")]
    with capture_logs() as logs, pytest.raises(AssertionError, match="no part is half full"):
        await gather(*together(*(reversed(errors) if turned else errors)))
    (line,) = logs
    assert (line["event"], line["beside"]) == ("also_failed", "AssertionError")
    assert line["errors"] == ["StoreUnavailable: the store is away"]


async def test_every_fault_of_ours_is_in_the_log_with_its_traceback() -> None:
    """One is raised, for the exit that logs it; the others are logged where they are left behind."""
    errors = [AssertionError("first"), ValueError("second"), KeyError("third")]
    with capture_logs() as logs, pytest.raises((AssertionError, ValueError, KeyError)) as raised:
        await gather(*together(*errors))
    assert {id(raised.value), *(id(line["exc_info"]) for line in logs)} == set(map(id, errors))
    assert {line["log_level"] for line in logs} == {"error"}


async def test_what_many_calls_fail_of_is_a_line_that_is_bounded() -> None:
    """A store that fails every call at once is not a line for each; equal texts are counted."""
    errors = [StoreUnavailable("away" if number % 2 else f"away {number}") for number in range(50)]
    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await gather(*together(*errors))
    (line,) = logs
    assert line["errors"][0].endswith(" times StoreUnavailable: away")
    assert len(line["errors"]) == 10
    assert line["more"] in {15, 16}, "26 texts, but for the error that was raised"


async def test_what_a_client_caused_is_no_warning() -> None:
    """Several layers that are missing are one answer, and nothing for an operator."""
    with capture_logs() as logs, pytest.raises(BlobUnknown):
        await gather(*together(BlobUnknown("a"), BlobUnknown("b")))
    assert [line["log_level"] for line in logs] == ["debug"]


def cancellation() -> trio.Cancelled:
    """Return one, as trio makes them."""
    caught: list[trio.Cancelled] = []

    async def catch() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                caught.append(error)
                raise

    trio.run(catch)
    return caught[0]


def test_a_group_of_cancellations_hides_no_error() -> None:
    """What a nursery inside was cancelled with is no cause, however deep it lies; nothing is said of it."""
    error = StoreUnavailable("away")
    group = BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [cancellation(), cancellation()]), error])
    assert first_cause(group) is error
    with capture_logs() as logs, pytest.raises(StoreUnavailable), plain_errors():
        raise group
    assert logs == []


def test_a_group_of_cancellations_alone_stays_as_it_is() -> None:
    """Trio needs each of them; only they together are the cancellation."""
    group = BaseExceptionGroup("outer", [cancellation(), cancellation()])
    with pytest.raises(BaseExceptionGroup) as raised, plain_errors():
        raise group
    assert raised.value is group


def test_an_answer_tells_of_all_that_failed() -> None:
    """The exit of a request answers by the fault of ours, with 500, and logs both."""
    group = ExceptionGroup("handler", [TooManyRequests("wait"), AssertionError("never")])
    with capture_logs() as logs:
        response = answer(group)
    assert response.status_code == 500
    assert [line["event"] for line in logs] == ["also_failed", "internal_error"]


@pytest.mark.parametrize("taken_s", [TURN_S * 2, TURN_S / 2, 0.0])
async def test_others_get_a_turn_while_something_is_done_with_many_items(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, taken_s: float
) -> None:
    """Another task never waits for more than two turns, each one item longer than agreed; the items stay in order."""
    now, seen = 0.0, [0.0]

    def double(item: int) -> int:
        nonlocal now
        now += taken_s
        return 2 * item

    async def other() -> None:
        while True:
            seen.append(now)
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(concurrency, "clock", lambda: now)
    nursery.start_soon(other)
    assert await in_turns(range(50), double) == list(range(0, 100, 2))
    nursery.cancel_scope.cancel()
    waits = [later - earlier for earlier, later in pairwise([*seen, now])]
    assert max(waits) <= 2 * (TURN_S + taken_s) + 1e-9
