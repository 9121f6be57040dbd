from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zotpy.store.faulty import FaultyStore, Moment
from zotpy.store.interface import KeyMissing, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

Asked = tuple[Moment, str, str]


class Script:
    """Does something at one moment of one operation, and keeps what it was asked."""

    def __init__(
        self, moment: Moment = "before", operation: str = "", act: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Let everything pass but that one moment."""
        self.asked: list[Asked] = []
        self.moment, self.operation, self.act = moment, operation, act

    async def __call__(self, moment: Moment, operation: str, key: str) -> None:
        """Act, or let it pass."""
        self.asked.append((moment, operation, key))
        await trio.lowlevel.checkpoint()
        if self.act is not None and (moment, operation) == (self.moment, self.operation):
            await self.act()


async def fail() -> None:
    """Be a store that does not answer."""
    await trio.lowlevel.checkpoint()
    msg = "injected"
    raise StoreUnavailable(msg)


async def test_an_error_before_an_operation_leaves_the_store_as_it_was() -> None:
    """The request never arrived."""
    inner = MemoryStore()
    with pytest.raises(StoreUnavailable):
        await FaultyStore(inner, Script("before", "put", fail)).put("k", b"")
    assert inner.objects == {}


async def test_an_error_after_an_operation_leaves_it_done() -> None:
    """The answer was lost, so the caller cannot know that the object is there."""
    inner = MemoryStore()
    with pytest.raises(StoreUnavailable):
        await FaultyStore(inner, Script("after", "put", fail)).put("k", b"done")
    assert (await inner.get("k")).body == b"done"


async def test_an_operation_that_fails_by_itself_has_no_after() -> None:
    """Its own error is what the caller sees."""
    script = Script("after", "get", fail)
    with pytest.raises(KeyMissing):
        await FaultyStore(MemoryStore(), script).get("absent")
    assert script.asked == [("before", "get", "absent")]


async def test_an_operation_can_be_parked_while_others_go_on() -> None:
    """A test decides the order in which writes reach the store."""
    gate = trio.Event()
    inner = MemoryStore()
    store = FaultyStore(inner, Script("before", "put", gate.wait))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put, "k", b"parked")
        await wait_all_tasks_blocked()
        await inner.put("k", b"first")
        gate.set()
    assert (await inner.get("k")).body == b"parked"


async def test_a_parked_operation_can_be_cancelled() -> None:
    """A replica that is killed before its request went out has written nothing."""
    inner = MemoryStore()
    store = FaultyStore(inner, Script("before", "put", trio.sleep_forever))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put, "k", b"never")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert inner.objects == {}


async def test_a_stream_can_break_off_in_the_middle() -> None:
    """Every read of a stream is a moment of its own, after it was opened well."""
    inner = MemoryStore()
    await inner.put("k", bytes(600_000))
    script = Script("before", "read")
    async with FaultyStore(inner, script).open("k", 0, 600_000) as chunks:
        assert len(await anext(aiter(chunks))) > 0
        script.act = fail
        with pytest.raises(StoreUnavailable):
            await anext(aiter(chunks))


async def test_every_moment_of_a_stream_is_asked_for() -> None:
    """The end of a stream is asked for too; it is no failure."""
    inner = MemoryStore()
    await inner.put("k", b"one")
    script = Script()
    async with FaultyStore(inner, script).open("k", 0, 3) as chunks:
        assert [chunk async for chunk in chunks] == [b"one"]
    assert script.asked == [
        ("before", "open", "k"),
        ("after", "open", "k"),
        ("before", "read", "k"),
        ("after", "read", "k"),
        ("before", "read", "k"),
    ]
