"""Checks of passwords: how many at once, what is remembered, and what a wrong one costs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zotpy.auth import remembered_passwords
from zotpy.auth.basic import Credentials
from zotpy.auth.hashes import PasswordHash
from zotpy.auth.htpasswd import Users
from zotpy.auth.passwords import PasswordChecks
from zotpy.auth.permission import Identity
from zotpy.core.errors import TooManyRequests

if TYPE_CHECKING:
    from trio.testing import MockClock

GOOD = Credentials("alice", b"secret")
WRONG = Credentials("alice", b"wrong")
STRANGER = Credentials("mallory", b"secret")


@dataclass(slots=True)
class Scene:
    """Users whose hashes note each check, and may be held in it."""

    calls: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: Users = field(init=False)

    def __post_init__(self) -> None:
        self.held.set()
        self.set_hash("first")

    def set_hash(self, text: str) -> None:
        """Give alice a hash of this text, and bob one, too."""
        self.users = Users({"alice": PasswordHash(text, self.check), "bob": PasswordHash("bob's", self.check)}, {})

    def check(self, text: str, password: bytes) -> bool:
        """Check a password, in a thread."""
        with self.lock:
            self.calls.append(text)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.held.wait(60)
        with self.lock:
            self.running -= 1
        return password == b"secret"

    def checks(self, at_once: int = 2, waiting: int = 8, remember_s: float = 300.0) -> PasswordChecks:
        """Return checks of these users."""
        return PasswordChecks(lambda: self.users, at_once, waiting, remember_s)


@pytest.fixture
def scene() -> Scene:
    """Return the users."""
    return Scene()


async def test_a_good_password_is_remembered_for_a_while(scene: Scene, mock_clock: MockClock) -> None:
    """A client sends it with each request, and pays once. Wrong ones are checked each time."""
    checks = scene.checks(remember_s=300)
    assert [await checks.are_good(GOOD) for _ in range(3)] == [True] * 3
    assert len(scene.calls) == 1
    assert [await checks.are_good(WRONG) for _ in range(3)] == [False] * 3
    assert len(scene.calls) == 4
    mock_clock.jump(299)
    assert await checks.are_good(GOOD)
    assert len(scene.calls) == 4
    mock_clock.jump(300)
    assert await checks.are_good(GOOD)
    assert len(scene.calls) == 5


async def test_a_password_that_is_used_is_remembered_on(scene: Scene, mock_clock: MockClock) -> None:
    """A user at work never waits behind those who guess passwords. The time counts from the latest use."""
    checks = scene.checks(remember_s=300)
    assert await checks.are_good(GOOD)
    for _ in range(5):
        mock_clock.jump(299)
        assert await checks.are_good(GOOD)
    assert len(scene.calls) == 1
    mock_clock.jump(300)
    assert await checks.are_good(GOOD)
    assert len(scene.calls) == 2


async def test_nothing_is_remembered_if_so_configured(scene: Scene) -> None:
    """`remember` 0."""
    checks = scene.checks(remember_s=0)
    assert [await checks.are_good(GOOD) for _ in range(3)] == [True] * 3
    assert len(scene.calls) == 3


async def test_what_is_remembered_ends_with_the_hash(scene: Scene) -> None:
    """A user whose password was changed, or who was deleted, needs no restart to be locked out."""
    checks = scene.checks()
    assert await checks.are_good(GOOD)
    scene.set_hash("second")
    await checks.are_good(GOOD)
    assert scene.calls == ["first", "second"]
    scene.users = Users({}, {})
    assert not await checks.are_good(GOOD)


async def test_what_is_remembered_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials that were used last stay."""
    monkeypatch.setattr(remembered_passwords, "MOST_REMEMBERED", 2)
    names = ["a", "b", "c"]
    scene.users = Users({name: PasswordHash(name, scene.check) for name in names}, {})
    checks = scene.checks()
    a, b, c = (Credentials(name, b"secret") for name in names)
    for each in (a, b, a, c, a, c):
        assert await checks.are_good(each)
    assert scene.calls == ["a", "b", "c"]
    assert await checks.are_good(b)
    assert scene.calls == ["a", "b", "c", "b"]


async def test_neither_passwords_nor_hashes_are_kept(scene: Scene) -> None:
    """What is remembered is a keyed hash, which another process cannot compute."""
    one, other = scene.checks(), scene.checks()
    await one.are_good(GOOD)
    await other.are_good(GOOD)
    ours, theirs = one._remembered._answers._answers, other._remembered._answers._answers
    assert not {*ours} & {*theirs}
    assert b"secret" not in b"".join([*ours])


async def test_a_user_who_does_not_exist_costs_a_check(scene: Scene) -> None:
    """Nobody can learn from the time of an answer who has a login. A stranger's right guess is no login."""
    checks = scene.checks()
    assert not await checks.are_good(STRANGER)
    assert not await checks.are_good(STRANGER)
    assert len(scene.calls) == 2
    assert len({*scene.calls}) == 1, "the same name costs the same each time"


async def test_a_user_whose_hash_is_unusable_costs_a_check(scene: Scene) -> None:
    """Such a user looks like one who does not exist."""
    scene.users = Users(scene.users.hashes, {"mallory": "no hash"})
    assert not await scene.checks().are_good(STRANGER)
    assert len(scene.calls) == 1


async def test_a_few_are_checked_at_once_and_too_many_are_refused(scene: Scene) -> None:
    """Two threads work, six requests wait, and the next one is told to come back. What is remembered needs no turn."""
    checks = scene.checks(at_once=2, waiting=8)
    assert await checks.are_good(GOOD)
    scene.held.clear()
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(checks.are_good, Credentials("alice", b"%d" % number))
        await wait_all_tasks_blocked()
        with pytest.raises(TooManyRequests):
            await checks.are_good(WRONG)
        with pytest.raises(TooManyRequests):
            await checks.are_good(STRANGER)
        assert await checks.are_good(GOOD)
        while scene.running < 2:  # noqa: ASYNC110 - threads tell nobody
            await trio.sleep(0.01)
        scene.held.set()
    assert scene.most_running == 2
    assert len(scene.calls) == 9
    assert not await checks.are_good(WRONG)


async def test_connections_of_one_client_share_a_check(scene: Scene) -> None:
    """A client that opens several connections at once, each with the same password, pays once."""
    checks = scene.checks(at_once=1)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(checks.are_good, GOOD)
    assert len(scene.calls) == 1


async def test_a_user_is_identified(scene: Scene) -> None:
    """The identity names the user and the kind of login. A wrong password gives no identity."""
    checks = scene.checks()
    assert await checks.identify(GOOD) == Identity("alice", kind="htpasswd")
    assert await checks.identify(WRONG) is None
