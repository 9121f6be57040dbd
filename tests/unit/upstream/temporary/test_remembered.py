"""A login that lasts hours: one question for all, and another one before its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.login import Login
from zotpy.upstream.temporary.remembered import PAUSE_S, REFUSALS_APART_S, Remembered, Temporary

if TYPE_CHECKING:
    from trio.testing import MockClock


class Service:
    """Numbers the logins that it gives, each for 1,000 s."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def __call__(self) -> Temporary:
        """Take a second."""
        self.asked += 1
        await trio.sleep(1)
        if self.fails:
            msg = "no login now"
            raise UpstreamUnavailable(msg)
        return Temporary(Login("u", str(self.asked)), 1000)


async def test_all_who_need_a_login_ask_once(autojump_clock: MockClock) -> None:
    """Those who come meanwhile wait for the same."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(remembered)
    assert (await remembered()).password == "1"
    assert service.asked == 1


async def test_a_login_is_renewed_before_its_end(autojump_clock: MockClock) -> None:
    """Only the first who asks then waits for the new one."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    await remembered()
    await trio.sleep(898)
    assert (await remembered()).password == "1"
    await trio.sleep(1)
    found = []

    async def take() -> None:
        found.append((await remembered()).password)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
    assert sorted(found) == ["1", "2"]
    assert (await remembered()).password == "2"


async def test_a_long_margin_leaves_most_of_a_short_life(autojump_clock: MockClock) -> None:
    """A login of 1,000 s is used for 800 s, although the margin is an hour."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 3600)
    await remembered()
    await trio.sleep(798)
    await remembered()
    assert service.asked == 1


async def test_a_service_that_fails_is_left_alone_for_a_moment(autojump_clock: MockClock) -> None:
    """The old login is used to its end; without one all who ask are told why, and the service is asked once."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    await remembered()
    await trio.sleep(950)
    service.fails = True
    assert (await remembered()).password == (await remembered()).password == "1"
    assert service.asked == 2
    await trio.sleep(60)
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable, match="no login now"):
            await remembered()
    assert service.asked == 3
    service.fails = False
    await trio.sleep(PAUSE_S)
    assert (await remembered()).password == "4"


async def test_a_caller_who_leaves_spoils_nothing(autojump_clock: MockClock) -> None:
    """The next one asks."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    with trio.move_on_after(0.5):
        await remembered()
    assert (await remembered()).password == "2"


async def test_a_login_that_was_refused_is_renewed(autojump_clock: MockClock) -> None:
    """Once, for all who were refused with it."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    old = await remembered()
    await trio.sleep(REFUSALS_APART_S)
    renewed = []

    async def refuse() -> None:
        renewed.append(await remembered.renewed(old))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        nursery.start_soon(refuse)
    assert renewed == [True, True]
    assert (await remembered()).password == "2"
    assert service.asked == 2


async def test_a_new_login_that_is_refused_is_not_renewed(autojump_clock: MockClock) -> None:
    """The account may not read something, and clients may ask for that again and again."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    assert not await remembered.renewed(Login("u", "never seen"))
    login = await remembered()
    for _ in range(3):
        assert not await remembered.renewed(login)
    assert service.asked == 1


async def test_a_service_that_gives_no_other_login_is_left_alone_for_a_moment(autojump_clock: MockClock) -> None:
    """The refusal stays one, and the login is used to its end."""
    del autojump_clock
    service = Service()
    remembered = Remembered(service, 100)
    login = await remembered()
    await trio.sleep(REFUSALS_APART_S)
    service.fails = True
    assert not await remembered.renewed(login)
    assert not await remembered.renewed(login)
    assert service.asked == 2
    assert await remembered() == login
