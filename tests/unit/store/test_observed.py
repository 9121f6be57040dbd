from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from zotpy.store.faulty import FaultyStore, Moment
from zotpy.store.interface import (
    ConditionFailed,
    ContentRejected,
    KeyMissing,
    Part,
    Store,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from zotpy.store.memory_store import MemoryStore
from zotpy.store.observed import ObservedStore

Told = tuple[str, str, float, str]


@dataclass
class Observer:
    """Keeps what it is told."""

    told: list[Told] = field(default_factory=list)

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Take note of one operation."""
        self.told.append((operation, key, seconds, outcome))


@pytest.fixture
def observer() -> Observer:
    """Return the observer."""
    return Observer()


def failing(store: Store, operation: str, error: StoreError) -> Store:
    """Make one operation fail."""

    async def faults(moment: Moment, asked: str, _: str) -> None:
        await trio.lowlevel.checkpoint()
        if (moment, asked) == ("before", operation):
            raise error

    return FaultyStore(store, faults)


def slow(store: Store, operation: str, seconds: float) -> Store:
    """Make one operation take its time."""

    async def faults(moment: Moment, asked: str, _: str) -> None:
        await trio.sleep(seconds if (moment, asked) == ("before", operation) else 0)

    return FaultyStore(store, faults)


async def read(store: Store, key: str, end: int) -> bytes:
    """Read the beginning of an object as a stream."""
    async with store.open(key, 0, end) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def multipart(store: Store) -> tuple[str, Part]:
    """Begin a multipart of one part."""
    multipart_id = await store.create_multipart("data/m")
    return multipart_id, await store.put_part("data/m", multipart_id, 1, b"part")


async def complete(store: Store) -> object:
    """Make an object of one part."""
    multipart_id, part = await multipart(store)
    return await store.complete_multipart("data/m", multipart_id, [part])


async def abort(store: Store) -> None:
    """Drop a multipart."""
    multipart_id, _ = await multipart(store)
    await store.abort_multipart("data/m", multipart_id)


OPERATIONS: dict[str, tuple[Callable[[Store], Awaitable[object]], str]] = {
    "get": (lambda store: store.get("k/1"), "k/1"),
    "open": (lambda store: read(store, "k/1", 3), "k/1"),
    "put": (lambda store: store.put("k/2", b""), "k/2"),
    "delete": (lambda store: store.delete("k/1"), "k/1"),
    "delete_many": (lambda store: store.delete_many(["k/1", "k/2"]), "k/1"),
    "list": (lambda store: store.list("k/"), "k/"),
    "create_multipart": (lambda store: store.create_multipart("data/m"), "data/m"),
    "put_part": (multipart, "data/m"),
    "complete_multipart": (complete, "data/m"),
    "abort_multipart": (abort, "data/m"),
    "list_multiparts": (lambda store: store.list_multiparts("data/"), "data/"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_is_told_of_once_with_its_key(observer: Observer, operation: str) -> None:
    """An operation that succeeds is named like its method, with its key, its prefix or the first of its keys."""
    inner = MemoryStore()
    await inner.put("k/1", b"one")
    run, key = OPERATIONS[operation]
    await run(ObservedStore(inner, observer))
    assert [(name, of, outcome) for name, of, _, outcome in observer.told if name == operation] == [
        (operation, key, "ok")
    ]


async def test_no_operations_is_nothing_told(observer: Observer) -> None:
    """Signing an URL and asking for features call no store."""
    store = ObservedStore(MemoryStore(), observer)
    assert store.features == MemoryStore().features
    assert await store.presign_get("k", expires_s=1, filename="f") == "memory:///k?expires=1&filename=f"
    assert observer.told == []


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (KeyMissing("k"), "missing"),
        (ConditionFailed("k"), "condition_failed"),
        (ContentRejected("k"), "rejected"),
        (StoreUnavailable("k"), "unavailable"),
        (StoreRefused("k"), "refused"),
        (StoreError("k"), "failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_an_operation_that_fails_is_told_of_by_its_kind_of_error(
    observer: Observer, operation: str, error: StoreError, outcome: str
) -> None:
    """The caller gets the very error, the observer its name."""
    inner = MemoryStore()
    await inner.put("k/1", b"one")
    run, key = OPERATIONS[operation]
    with pytest.raises(StoreError) as caught:
        await run(ObservedStore(failing(inner, operation, error), observer))
    assert caught.value is error
    assert [told[:2] + told[3:] for told in observer.told if told[0] == operation] == [(operation, key, outcome)]


async def test_what_is_not_found_is_reported_as_missing(observer: Observer) -> None:
    """No error tells it, but the metrics count it as a read that raised one."""
    store = ObservedStore(MemoryStore(), observer)
    await store.put("k", b"")
    assert await store.find("absent") is None
    assert await store.find("k") is not None
    await store.delete("k")
    assert [(operation, outcome) for operation, _, _, outcome in observer.told] == [
        ("put", "ok"),
        ("get", "missing"),
        ("get", "ok"),
        ("delete", "ok"),
    ]


async def test_the_seconds_are_those_of_the_store(observer: Observer, autojump_clock: MockClock) -> None:
    """An operation is timed from its call to its return, whether it succeeds or not."""
    del autojump_clock
    store = ObservedStore(slow(MemoryStore(), "get", 2.5), observer)
    with pytest.raises(KeyMissing):
        await store.get("absent")
    await store.put("k", b"")
    assert [(operation, round(seconds, 3)) for operation, _, seconds, _ in observer.told] == [
        ("get", 2.5),
        ("put", 0.0),
    ]


async def test_a_cancelled_operation_is_told_of_as_cancelled(observer: Observer) -> None:
    """Requests that clients gave up do not vanish from the numbers."""
    store = ObservedStore(slow(MemoryStore(), "get", float("inf")), observer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.get, "k")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [(operation, outcome) for operation, _, _, outcome in observer.told] == [("get", "cancelled")]


async def test_a_stream_is_timed_until_its_bytes_can_come(observer: Observer, autojump_clock: MockClock) -> None:
    """A client that reads slowly does not make the store look slow."""
    del autojump_clock
    inner = MemoryStore()
    await inner.put("k", b"one")
    store = ObservedStore(slow(slow(inner, "open", 1.5), "read", 60), observer)
    assert await read(store, "k", 3) == b"one"
    assert [(operation, round(seconds, 3)) for operation, _, seconds, _ in observer.told] == [("open", 1.5)]


async def test_a_stream_that_breaks_off_is_told_of(observer: Observer) -> None:
    """The failure of a read that had begun well is an operation of its own."""
    inner = MemoryStore()
    await inner.put("k", b"one")
    store = ObservedStore(failing(inner, "read", StoreUnavailable("cut")), observer)
    with pytest.raises(StoreUnavailable):
        await read(store, "k", 3)
    assert [(operation, outcome) for operation, _, _, outcome in observer.told] == [
        ("open", "ok"),
        ("read", "unavailable"),
    ]


async def test_an_error_of_the_reader_is_not_told_as_the_stores(observer: Observer) -> None:
    """Whatever fails while a stream is open, only the stream itself counts."""
    inner = MemoryStore()
    await inner.put("k", b"one")
    store = ObservedStore(inner, observer)
    with pytest.raises(StoreRefused):
        async with store.open("k", 0, 3):
            raise StoreRefused
    assert [(operation, outcome) for operation, _, _, outcome in observer.told] == [("open", "ok")]


class TrackedStore(MemoryStore):
    """Knows whether its stream was closed."""

    closed = False

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a range."""
        async with super().open(key, start, end) as chunks:
            try:
                yield chunks
            finally:
                self.closed = True


async def test_a_stream_is_closed_with_its_block(observer: Observer) -> None:
    """The connection of the store within is given back when the reader leaves in the middle."""
    inner = TrackedStore()
    await inner.put("k", b"one")
    async with ObservedStore(inner, observer).open("k", 0, 3):
        assert not inner.closed
    assert inner.closed
