"""The bucket's layout: who may work on it, and what a replica does that must not any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.registry.support import NO_CONDITIONS, Script, content, open_replica, push
from zotpy.bucket.guard import GuardedStore
from zotpy.bucket.health import CACHE_S, CHECK_S, STALE_S, Health
from zotpy.bucket.layout import KNOWN, WRITTEN, Layout, LayoutError, LayoutMoved, check_layout
from zotpy.core import keys
from zotpy.core.framing import frame, unframe
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import KeyMissing, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from trio.testing import MockClock

TOO_NEW: dict[str, Any] = {"layout": KNOWN + 2, "least": KNOWN + 1, "release": "7.0.0"}


async def say(store: MemoryStore, header: dict[str, Any]) -> None:
    """Write a layout as another release would."""
    await store.put(keys.LAYOUT, frame(header))


@pytest.mark.parametrize(
    "header",
    [
        {"layout": 1},
        {"layout": 1, "least": 1},
        {"layout": 9, "least": 1, "release": "0.9.0"},
        {"layout": 9, "least": KNOWN, "other": ["things"]},
        WRITTEN,
    ],
)
async def test_a_bucket_for_our_version_is_taken(header: dict[str, Any]) -> None:
    """What counts is the least version that a release must know, not the newest that was written; older words do."""
    store = MemoryStore()
    await say(store, header)
    await check_layout(store)
    assert unframe((await store.get(keys.LAYOUT)).body)[0] == header


@pytest.mark.parametrize(
    ("header", "run"),
    [
        (TOO_NEW, r"run zotpy 7\.0\.0 or newer"),
        ({"layout": KNOWN + 1}, "run a newer release"),
        ({**TOO_NEW, "release": "x\n" * 9}, "run a newer release"),
        ({**TOO_NEW, "release": 7}, "run a newer release"),
    ],
)
async def test_a_bucket_for_newer_releases_is_refused(header: dict[str, Any], run: str) -> None:
    """The refusal says what to run, in the words of the release that moved the bucket."""
    store = MemoryStore()
    await say(store, header)
    with pytest.raises(LayoutError, match=run):
        await check_layout(store)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]\n", *(frame({"layout": value}) for value in (0, -1, "1", True, 1.5, None)), frame({"least": 1})],
)
async def test_what_is_no_layout_is_told_so(body: bytes) -> None:
    """A bucket of something else is left alone, with a question to the operator."""
    store = MemoryStore()
    await store.put(keys.LAYOUT, body)
    with pytest.raises(LayoutError, match="damaged"):
        await check_layout(store)


@pytest.mark.parametrize("is_conditional", [True, False])
async def test_the_first_on_an_empty_bucket_decides(is_conditional: bool) -> None:  # noqa: FBT001 - a parameter
    """If a newer release writes between our reading and writing, it is not overwritten, if the store has conditions."""
    store = MemoryStore() if is_conditional else MemoryStore(features=NO_CONDITIONS)
    script = Script()
    between = script.park("before", "put")

    async def check() -> None:
        try:
            await check_layout(FaultyStore(store, script))
        except LayoutError:
            refused.append(True)

    refused: list[bool] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(check)
        await between.reached.wait()
        await say(store, TOO_NEW)
        between.go_on.set()
    assert refused == [True] * is_conditional
    assert (
        Layout.parse((await store.get(keys.LAYOUT)).body).version == (TOO_NEW if is_conditional else WRITTEN)["layout"]
    )


async def test_a_running_replica_notices_that_it_is_left_behind(autojump_clock: MockClock) -> None:
    """Within seconds it is not ready and asks nothing of the store, asked or not; it says why once and may return."""
    del autojump_clock
    store = MemoryStore()
    health = Health(store)
    guarded = GuardedStore(store, health)
    await check_layout(guarded)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(health.keep_looking)
            assert await health.is_ready()
            await say(store, TOO_NEW)
            await trio.sleep(CHECK_S + 0.1)
            assert not await health.is_ready()
            assert "run zotpy 7.0.0 or newer" in health.refusal
            for ask in (guarded.get("x"), guarded.put("x", b""), guarded.delete("x"), guarded.list("")):
                with pytest.raises(LayoutMoved, match=r"7\.0\.0"):
                    await ask
            await trio.sleep(10 * CHECK_S)
            await say(store, WRITTEN)
            await trio.sleep(CHECK_S + 0.1)
            assert await health.is_ready()
            await guarded.put("x", b"")
            nursery.cancel_scope.cancel()
    assert [entry["event"] for entry in logs] == ["left_behind", "layout_is_known_again"]


async def test_an_upload_under_way_is_not_committed(autojump_clock: MockClock) -> None:
    """What was begun before the bucket moved on ends in a refusal, and nothing of it is visible."""
    del autojump_clock
    store = MemoryStore()
    health = Health(store)
    script = Script()
    replica = await open_replica(FaultyStore(GuardedStore(store, health), script))
    begun = sorted(store.objects)
    entry = script.park("before", "put", keys.ENTRIES)
    refused: list[bool] = []

    async def push_in_vain() -> None:
        with pytest.raises(LayoutMoved):
            await push(replica, content(1000))
        refused.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push_in_vain)
        await entry.reached.wait()
        await trio.sleep(CACHE_S)
        await say(store, TOO_NEW)
        assert not await health.is_ready()
        entry.go_on.set()
    assert refused == [True]
    assert sorted(store.objects) == begun


async def test_a_replica_that_was_paused_looks_before_it_writes(mock_clock: MockClock) -> None:
    """After a pause in which anything may have happened, the first call to the store waits for a look at the layout."""
    store = MemoryStore()
    guarded = GuardedStore(store, Health(store))
    await check_layout(guarded)
    mock_clock.jump(STALE_S + 1)
    await guarded.put("a", b"")
    await say(store, TOO_NEW)
    await guarded.put("b", b"")
    mock_clock.jump(STALE_S + 1)
    with pytest.raises(LayoutMoved):
        await guarded.put("c", b"")
    with pytest.raises(KeyMissing):
        await store.get("c")


async def test_a_replica_whose_clock_stood_still_looks_before_it_answers(mock_clock: MockClock) -> None:
    """Its own clock says that no time has passed; the first answer of the store says that much has."""
    del mock_clock
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store = MemoryStore(lambda: now)
    guarded = GuardedStore(store, Health(store))
    await check_layout(guarded)
    await guarded.put("a", b"")
    now += timedelta(seconds=STALE_S + 1)
    assert (await guarded.get("a")).body == b""
    await say(store, TOO_NEW)
    now += timedelta(seconds=STALE_S + 1)
    with pytest.raises(LayoutMoved):
        await guarded.get("a")


async def test_what_cannot_be_known_is_not_risked(mock_clock: MockClock) -> None:
    """Where the layout could not be read for a minute, nothing else is asked, until it can be read."""
    store, script = MemoryStore(), Script()
    guarded = GuardedStore(store, Health(FaultyStore(store, script)))
    await check_layout(guarded)
    mock_clock.jump(STALE_S + 1)
    script.fail("before", "get", keys.LAYOUT, StoreUnavailable("hangs"))
    with pytest.raises(StoreUnavailable, match="layout"):
        await guarded.put("a", b"")
    mock_clock.jump(CACHE_S)
    await guarded.put("a", b"")


async def test_a_store_that_does_not_answer_is_logged_once_and_so_is_its_return(mock_clock: MockClock) -> None:
    """An operator reads why, since when and until when, and not a line every few seconds."""
    store, script = MemoryStore(), Script()
    health = Health(FaultyStore(store, script))
    await store.put(keys.LAYOUT, frame(WRITTEN))
    with capture_logs() as logs:
        assert await health.is_ready()
        for _ in range(3):
            mock_clock.jump(CACHE_S)
            script.fail("before", "get", keys.LAYOUT, StoreUnavailable("hangs"))
            assert not await health.is_ready()
        for _ in range(2):
            mock_clock.jump(CACHE_S)
            assert await health.is_ready()
    assert [(entry["event"], entry.get("error"), entry.get("seconds")) for entry in logs] == [
        ("store_unreachable", "hangs", None),
        ("store_reachable_again", None, 3 * CACHE_S),
    ]


async def test_a_store_that_says_nothing_is_logged_in_words(autojump_clock: MockClock) -> None:
    """The log has how long the replica waited, not the name of an error of Python."""
    del autojump_clock
    store, script = MemoryStore(), Script()
    script.park("before", "get", keys.LAYOUT)
    with capture_logs() as logs:
        assert not await Health(FaultyStore(store, script)).is_ready()
    assert [(entry["event"], entry["error"]) for entry in logs] == [("store_unreachable", "no answer in 5 s")]
