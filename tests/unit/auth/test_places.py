"""The share that one client has of the places of logins."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.unit.auth.hashed import BCRYPT, PASSWORD
from zotpy.auth.basic import Credentials
from zotpy.auth.delayed_refusals import Refusals
from zotpy.auth.htpasswd import Users
from zotpy.auth.login_places import Places, client_of
from zotpy.auth.passwords import PasswordChecks
from zotpy.core.errors import TooManyRequests, Unauthorized
from zotpy.web.login import Login

if TYPE_CHECKING:
    from trio.testing import MockClock

    from zotpy.auth.hashes import PasswordHash

GUESSER, OTHER = "192.0.2.1", "192.0.2.2"
GUESSES = 10_000


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(address: str, client: str) -> None:
    """A client can use all addresses of its network of 64 bits, so these have one share."""
    assert client_of(address) == client


def test_a_client_takes_no_more_than_its_share() -> None:
    """Others have places then. A client without an address has all of them, and what was taken is given back."""
    places = Places(3, 2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(places.place_for(GUESSER))
        with pytest.raises(TooManyRequests, match="from this address"):
            stack.enter_context(places.place_for(GUESSER))
        stack.enter_context(places.place_for(OTHER))
        with pytest.raises(TooManyRequests, match="too many logins are being"):
            stack.enter_context(places.place_for("192.0.2.3"))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(places.place_for(""))
    assert (places.taken, dict(places._taken_by)) == (0, {})


async def test_guesses_of_one_client_keep_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 wrong passwords at once: the client has its share of the checks, and another one logs in meanwhile."""
    checks = PasswordChecks(lambda: Users.parse(f"alice:{BCRYPT}"), 1, 256, 300.0, per_client=16)
    go_on, refused, tried = trio.Event(), 0, 0

    async def try_(_: PasswordChecks, stored: PasswordHash, password: bytes) -> bool:
        nonlocal tried
        await go_on.wait()
        tried += 1
        return stored.text == BCRYPT and password == PASSWORD

    monkeypatch.setattr(PasswordChecks, "_try", try_)

    async def guess(number: int) -> None:
        nonlocal refused
        try:
            assert not await checks.are_good(Credentials("alice", b"%d" % number, GUESSER))
        except TooManyRequests:
            refused += 1

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for number in range(GUESSES):
                nursery.start_soon(guess, number)
            await wait_all_tasks_blocked()
            assert refused == GUESSES - 16
            go_on.set()
            assert await checks.are_good(Credentials("alice", PASSWORD, OTHER))
    assert tried == 17


async def be_refused(refusals: Refusals, client: str) -> None:
    """Log in with a wrong password."""
    await Login(refusals=refusals).identify(Credentials("alice", b"wrong", client))


async def test_refusals_of_one_client_keep_nobody_elses_back(autojump_clock: MockClock) -> None:
    """`failDelay` holds back a share for one client, and answers its further guesses at once with 429."""
    del autojump_clock
    refusals = Refusals(5.0, 256, 16)
    ended: list[tuple[str, type[BaseException]]] = []

    async def guess(client: str) -> None:
        with pytest.raises((Unauthorized, TooManyRequests)) as raised:
            await be_refused(refusals, client)
        ended.append((client, raised.type))

    async with trio.open_nursery() as nursery:
        for _ in range(GUESSES):
            nursery.start_soon(guess, GUESSER)
        await wait_all_tasks_blocked()
        assert ended == [(GUESSER, TooManyRequests)] * (GUESSES - 16)
        assert refusals.held == 16
        nursery.start_soon(guess, OTHER)
    assert ended.count((OTHER, Unauthorized)) == 1
    assert ended.count((GUESSER, Unauthorized)) == 16
