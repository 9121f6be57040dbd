"""Where tests put very many files: in memory if there is enough, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import scratch
from tests.powercuts.disk import needs_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the directory for temporary files, in which nothing is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def available(directory: Path, size_bytes: int) -> Path:
    """Write what Linux says of its memory if that much is available."""
    file = directory.parent / f"{directory.name}-meminfo"
    file.write_text(
        f"MemTotal:       64000000 kB\nMemAvailable:   {size_bytes >> 10} kB\nCached:          9999999 kB\n"
    )
    return file


@pytest.mark.parametrize("missing_bytes", [0, 1024])
def test_it_is_in_memory_if_enough_is_available(
    temporary: Path, missing_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enough is what it can hold, and what the other tests need. With 1 KiB less, it is on the disk."""
    needs_mounts()
    enough = scratch.MOST_BYTES + scratch.LEFT_BYTES
    monkeypatch.setattr(scratch, "MEMINFO", available(temporary, enough - missing_bytes))
    with scratch.scratch("files") as directory:
        (directory / "file").write_text("content")
        assert directory.is_mount() is (missing_bytes == 0)


@pytest.mark.usefixtures("temporary")
def test_it_is_gone_while_a_program_is_still_in_it() -> None:
    """A file that is still open keeps nothing there, and does not fail the test."""
    with scratch.scratch("files") as directory:
        held = (directory / "file").open("w")
    with held:
        assert not directory.exists()


@pytest.mark.usefixtures("temporary")
def test_a_test_that_fails_leaves_nothing() -> None:
    """It is deleted if the block ends by an error."""
    places = []

    def fail() -> None:
        with scratch.scratch("files") as directory:
            places.append(directory)
            (directory / "file").write_text("content")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert not places[0].exists()
