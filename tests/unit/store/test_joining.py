"""Reads of one key at one replica share the next call, and never one that began before they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
import trio.testing

from zotpy.store.interface import KeyMissing, StoreError, StoreUnavailable
from zotpy.store.joining import JoiningStore
from zotpy.store.memory_store import MemoryStore
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY = "tags/a!/latest"
T = TypeVar("T")


class SlowStore(StoreWrapper):
    """Reads at once, and keeps each answer back until its gate opens."""

    def __init__(self) -> None:
        """Hold nothing."""
        super().__init__(MemoryStore())
        self.gates: list[trio.Event] = []
        """One for each read that has come."""
        self.errors: dict[int, Exception] = {}
        """What reads raise in place of an answer, by their number from 0."""

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run an operation."""
        del key
        if operation != "get":
            return await run()
        number = len(self.gates)
        self.gates.append(trio.Event())
        fetched = await run()
        await self.gates[number].wait()
        if number in self.errors:
            raise self.errors[number]
        return fetched


class Readers:
    """A store in front of a slow one, and what its readers were told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """Read nothing yet."""
        self.slow = SlowStore()
        self.joins = 0
        self.store = JoiningStore(self.slow, self._on_join)
        self.told: list[bytes | type[Exception]] = []
        self.scopes: list[trio.CancelScope] = []
        self._nursery = nursery

    async def write(self, body: bytes) -> None:
        """Write the object, past everything."""
        await self.slow.store.put(KEY, body)

    async def come(self, count: int = 1) -> None:
        """Let readers come, and wait until they wait."""
        for _ in range(count):
            self.scopes.append(trio.CancelScope())
            self._nursery.start_soon(self._read, self.scopes[-1])
            await trio.testing.wait_all_tasks_blocked()

    async def answer(self) -> None:
        """Let the newest call end."""
        self.slow.gates[-1].set()
        await trio.testing.wait_all_tasks_blocked()

    async def leave(self, number: int) -> None:
        """Cancel a reader."""
        self.scopes[number].cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def _read(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                self.told.append((await self.store.get(KEY)).body)
            except (StoreError, ZeroDivisionError) as error:
                self.told.append(type(error))

    def _on_join(self) -> None:
        self.joins += 1


async def test_a_storm_of_readers_makes_two_calls(nursery: trio.Nursery) -> None:
    """The first makes one; all who come while it is under way share the second, which sees what was written since."""
    readers = Readers(nursery)
    await readers.write(b"old")
    await readers.come()
    await readers.write(b"new")
    await readers.come(1000)
    await readers.answer()
    assert readers.told == [b"old"]
    await readers.answer()
    assert readers.told == [b"old", *[b"new"] * 1000]
    assert (len(readers.slow.gates), readers.joins) == (2, 999)
    await readers.come()
    await readers.answer()
    assert len(readers.slow.gates) == 3


async def test_no_reader_shares_a_call_that_began_before_it_came(nursery: trio.Nursery) -> None:
    """This holds even if the call under way is shared itself, or is the second attempt of one whose caller left."""
    readers = Readers(nursery)
    for number, leaves in enumerate((False, True)):
        await readers.write(b"%d" % number)
        await readers.come(2)
        if leaves:
            await readers.leave(len(readers.scopes) - 2)
        else:
            await readers.answer()
        await readers.write(b"later than %d" % number)
        await readers.come()
        await readers.answer()
        await readers.answer()
        assert readers.told[-1] == b"later than %d" % number
        assert not readers.store._lines


async def test_a_failure_is_everybodys_and_the_next_reader_asks_again(nursery: trio.Nursery) -> None:
    """Each has an error of its own, of the same kind."""
    readers = Readers(nursery)
    await readers.write(b"there")
    readers.slow.errors = {1: StoreUnavailable("not now")}
    await readers.come(4)
    await readers.answer()
    await readers.answer()
    assert readers.told == [b"there", *[StoreUnavailable] * 3]
    await readers.come()
    await readers.answer()
    assert readers.told[-1] == b"there"


async def test_what_is_missing_is_missing_for_all(nursery: trio.Nursery) -> None:
    """They learn it from one call."""
    readers = Readers(nursery)
    readers.slow.errors = {}
    await readers.write(b"there")
    await readers.come()
    await readers.slow.store.delete(KEY)
    await readers.come(3)
    await readers.answer()
    await readers.answer()
    assert readers.told == [b"there", *[KeyMissing] * 3]
    assert len(readers.slow.gates) == 2


async def test_an_error_of_ours_is_not_shared(nursery: trio.Nursery) -> None:
    """Whoever meets it raises it; the others ask again."""
    readers = Readers(nursery)
    await readers.write(b"there")
    readers.slow.errors = {1: ZeroDivisionError()}
    await readers.come(3)
    for _ in range(3):
        await readers.answer()
    assert readers.told == [b"there", ZeroDivisionError, b"there"]


@pytest.mark.parametrize("leaver", [0, 1, 2, 3])
async def test_readers_that_leave_take_no_answer_away(leaver: int, nursery: trio.Nursery) -> None:
    """Whoever makes the call, or would make the next one, or waits: the others are answered, and nothing is left."""
    readers = Readers(nursery)
    await readers.write(b"there")
    await readers.come(3)
    if leaver == 3:  # who makes the second call leaves
        await readers.answer()
        leaver = 1
    await readers.leave(leaver)
    for _ in range(3):
        await readers.answer()
    assert readers.told == [b"there"] * 2
    assert not readers.store._lines


async def test_a_reader_that_leaves_as_its_turn_comes_passes_it_on(nursery: trio.Nursery) -> None:
    """It is cancelled in the same turn of the loop in which the call before ends."""
    readers = Readers(nursery)
    await readers.write(b"there")
    await readers.come(3)
    readers.scopes[1].cancel()
    readers.slow.gates[-1].set()
    await trio.testing.wait_all_tasks_blocked()
    await readers.answer()
    assert readers.told == [b"there"] * 2
    assert not readers.store._lines


async def test_parts_of_objects_and_other_keys_are_other_reads(nursery: trio.Nursery) -> None:
    """The beginning of an object is not all of it; what few read at once is not joined."""
    readers = Readers(nursery)
    await readers.write(b"there")
    got: list[bytes] = []

    async def read(most_bytes: int | None) -> None:
        got.append((await readers.store.get(KEY, most_bytes=most_bytes)).body)

    for most_bytes in (None, 2):
        nursery.start_soon(read, most_bytes)
    await trio.testing.wait_all_tasks_blocked()
    assert len(readers.slow.gates) == 2
    for gate in readers.slow.gates:
        gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(got) == [b"th", b"there"]
