"""The line at a terminal that says how far an import or a sync is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.commands.progress import shown
from zotpy.importing.tally import Tally

if TYPE_CHECKING:
    from trio.testing import MockClock


async def copied(tally: Tally) -> str:
    """Copy for ten seconds."""
    tally.repositories, tally.tags_copied, tally.tags_unchanged, tally.blobs_copied = 2, 3, 4, 5
    tally.bytes_copied = 50 << 20
    tally.add_problem("team/app:v1: absent")
    await trio.sleep(10)
    return "done"


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_counts_are_shown_at_a_terminal(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Elsewhere, as in the log of a job, the run says at its end what it has copied."""
    del autojump_clock
    monkeypatch.setenv("FORCE_COLOR" if is_terminal else "NO_COLOR", "1")  # as rich takes any stream for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    tally = Tally()
    assert await shown(tally, lambda: copied(tally)) == "done"
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    line = "2 repositories, 7 tags, 3 of them new, 5 blobs, 50.0 MiB, 5"
    assert (line in seen, "1 problems" in seen) == (is_terminal, is_terminal)
