"""Refusals that are held back: for how long, and how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zotpy.auth.basic import Credentials
from zotpy.auth.delayed_refusals import Refusals
from zotpy.auth.permission import Identity
from zotpy.core.errors import Denied, RegistryError, TooManyRequests, Unauthorized
from zotpy.web.login import Login

if TYPE_CHECKING:
    from trio.testing import MockClock


@dataclass(frozen=True, slots=True)
class Answers:
    """A kind of login that answers every password in the same way."""

    error: type[RegistryError] | None

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Let everybody in, or nobody."""
        if self.error is not None:
            msg = "wrong"
            raise self.error(msg)
        return Identity(credentials.name)


async def guess(refusals: Refusals, error: type[RegistryError] | None = Unauthorized) -> None:
    """Log in, and fail, unless there is no error."""
    await Login([Answers(error)], refusals=refusals).identify(Credentials("alice", b"secret"))


async def test_refusals_are_held_back_a_bounded_number_at_once(autojump_clock: MockClock) -> None:
    """`failDelay` slows guesses down, and cannot hold more requests than may wait for a check."""
    del autojump_clock
    refusals = Refusals(5.0, 3)
    ended: list[tuple[type[BaseException], float]] = []
    began = trio.current_time()

    async def note() -> None:
        with pytest.raises((Unauthorized, TooManyRequests)) as raised:
            await guess(refusals)
        ended.append((raised.type, trio.current_time() - began))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(note)
    assert ended == [(TooManyRequests, 0.0)] * 7 + [(Unauthorized, 5.0)] * 3
    assert refusals.held == 0


async def test_what_is_no_refusal_is_not_held_back(autojump_clock: MockClock) -> None:
    """A good login and every other error go on at once, also while refusals fill their places."""
    del autojump_clock
    refusals = Refusals(5.0, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_swallow, refusals)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await guess(refusals, None)
        with pytest.raises(Denied):
            await guess(refusals, Denied)
        assert trio.current_time() == began


async def test_nothing_is_held_back_without_a_delay() -> None:
    """`failDelay` 0."""
    with pytest.raises(Unauthorized):
        await guess(Refusals(0.0, 0))


async def _swallow(refusals: Refusals) -> None:
    with pytest.raises(Unauthorized):
        await guess(refusals)
