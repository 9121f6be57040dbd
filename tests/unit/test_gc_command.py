"""`zotpy gc`: when it may begin, and what it says of rules and notes that count for something else than they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from zotpy.auth.grants import Grants
from zotpy.cli import main
from zotpy.collecting import WINDOW_CHECK_S, keep_collecting, outside_window
from zotpy.collector import Summary
from zotpy.commands import gc
from zotpy.config import ConfigError, load_settings
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from zotpy.settings import Settings


def load(tmp_path: Path, **storage: object) -> Settings:
    """Read a file with these settings of the storage."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root"), **storage}}))
    return load_settings(file, {})


@pytest.mark.parametrize(
    ("window", "open_at", "closed_at"),
    [
        ("02:00-04:30", ["02:00", "03:59", "04:29"], ["01:59", "04:30", "23:00"]),
        ("22:00-04:00", ["22:00", "23:59", "00:00", "03:59"], ["04:00", "12:00", "21:59"]),
        ("00:00-23:59", ["00:00", "12:00"], ["23:59"]),
        ("", ["00:00", "12:00"], []),
    ],
)
def test_a_collection_begins_only_in_its_window(
    tmp_path: Path, window: str, open_at: list[str], closed_at: list[str]
) -> None:
    """The window is a time of the day in UTC, its end excluded; it may go past midnight."""
    read = load(tmp_path, gcTimeWindow=window).gc.time_window
    for times, is_open in ((open_at, True), (closed_at, False)):
        for time in times:
            now = datetime(2026, 1, 1, int(time[:2]), int(time[3:]), tzinfo=UTC)
            said = outside_window(read, now)
            assert (said == "") == is_open, (time, said)
            assert is_open or (time in said and window in said)


@pytest.mark.parametrize("window", ["2-4", "24:00-04:00", "02:60-04:00", "02:00-02:00", "02:00", 7, ["02:00-04:00"]])
def test_a_window_that_is_none_is_refused(tmp_path: Path, window: object) -> None:
    """The refusal has an example of a window."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, gcTimeWindow=window)
    [problem] = raised.value.problems
    assert problem.startswith("storage.gcTimeWindow: ")


@pytest.mark.parametrize("as_json", [False, True])
def test_outside_of_its_window_nothing_is_asked_of_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """It says so and is done, without an error: a timer may call it at any time."""
    hour = (datetime.now(UTC).hour + 6) % 24
    load(tmp_path, gcTimeWindow=f"{hour:02}:00-{(hour + 1) % 24:02}:00")
    file = str(tmp_path / "config.json")
    assert main(["gc", "-c", file, *(["--json"] if as_json else [])]) == 0
    said = capsys.readouterr().out
    assert "nothing was collected" in (json.loads(said)["skipped"] if as_json else said)
    assert not (tmp_path / "root").exists()


def test_notes_that_are_too_old_each_time_are_said(tmp_path: Path) -> None:
    """As by a daily run with a grace of a day: the bytes would never go."""
    settings = load(tmp_path)
    assert "at least four times" not in gc._told(Summary(data_retired=2), settings)
    said = gc._told(Summary(data_retired=2, notes_void=2), settings)
    assert "2 data objects stay: nothing names them" in said
    assert "Run zotpy gc at least four times in that time" in said


@pytest.mark.parametrize(("delay", "is_said"), [("1h", True), ("24h", False), ("48h", False)])
def test_a_delay_that_is_raised_to_the_grace_is_said(tmp_path: Path, delay: str, *, is_said: bool) -> None:
    """At the start, by `verify`, and by `gc`; without policies it makes no difference."""
    words = "storage.retention.delay is 3600s and counts as 86400s"
    retention = {"delay": delay, "policies": [{"repositories": ["**"]}]}
    settings = load(tmp_path, retention=retention)
    assert any(words in warning for warning in settings.warnings) == is_said
    assert (words in gc._told(Summary(), settings)) == is_said
    assert load(tmp_path, retention={"delay": delay}).warnings == ()


async def test_a_server_collects_only_in_the_window(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It waits until the window opens, and collects more than once in it; for a day it takes its own clock."""
    settings = load(tmp_path, gcTimeWindow="02:00-04:00")
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def now() -> datetime:
        return began + timedelta(seconds=autojump_clock.current_time() - started)

    started = autojump_clock.current_time()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_collecting, MemoryStore(), settings, Grants(None).is_immutable, now)
            await trio.sleep(14 * 3600 - WINDOW_CHECK_S)
            assert logs == []
            await trio.sleep(2 * 3600 + WINDOW_CHECK_S)
            assert [entry["event"] for entry in logs] == ["collected"] * 4
            await trio.sleep(8 * 3600)
            assert len(logs) == 4
            nursery.cancel_scope.cancel()
