from __future__ import annotations

from typing import TYPE_CHECKING

from bench.micro import run

if TYPE_CHECKING:
    import pytest


def test_every_hot_path_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """All groups run and each hot path has its row."""
    assert run.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    names = [micro.name for micros in run.GROUPS.values() for micro in micros()]
    assert [name for name in names if name not in printed] == []
