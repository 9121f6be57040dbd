"""Slabs are used again once nobody has a view of them, and never before."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from zotpy.http.slabs import LEAST_ROOM_BYTES, MOST_KEPT, MOST_SLABS, PAGE_BYTES, SLAB_BYTES, Room, Slabs


def take(slabs: Slabs) -> memoryview:
    """Take a slab that is there."""
    slab = slabs.take()
    assert slab is not None
    return slab


def test_a_slab_is_used_again_when_its_last_view_is_gone() -> None:
    """A view of a view counts as well, wherever it went."""
    slabs = Slabs()
    first = take(slabs)
    assert len(first) == SLAB_BYTES
    first[0] = 1
    kept = first[10:20]
    del first
    assert take(slabs)[0] == 0, "another one: the first is in use"
    del kept
    again = take(slabs)
    assert again[0] == 1
    assert len(again) == SLAB_BYTES


@pytest.mark.parametrize("counted", range(1, 6))
def test_a_slab_in_use_is_never_used_again_however_references_are_counted(
    counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.14 counts fewer references than 3.13: a view would look like none."""
    monkeypatch.setattr(sys, "getrefcount", lambda _: counted)
    slabs = Slabs()
    views = [take(slabs) for _ in range(3)]
    for number, view in enumerate(views):
        view[0] = number
    assert [view[0] for view in views] == [0, 1, 2]


def test_there_are_no_more_slabs_than_the_process_may_have() -> None:
    """If all are in use, even by a view of one byte each, answers are received elsewhere."""
    slabs = Slabs()
    held = [take(slabs)[:1] for _ in range(MOST_SLABS)]
    assert slabs.take() is None
    assert Room(slabs).offer(SLAB_BYTES) is None
    held.pop()
    assert Room(slabs).offer(SLAB_BYTES) is not None


_FAULTS_OF_SLABS = """
import resource
from zotpy.http.slabs import MOST_SLABS, PAGE_BYTES, SLAB_BYTES, Slabs
from zotpy.startup import keep_freed

slabs, pages = Slabs(), SLAB_BYTES // PAGE_BYTES

def use():
    held = [slabs.take() for _ in range(MOST_SLABS)]
    for view in held:
        view[::PAGE_BYTES] = bytes(pages)
    return len({view.obj for view in held if not isinstance(view.obj, bytearray)})

keep_freed(512 << 20)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(*{use() for _ in range(5)}, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep other memory")
def test_only_some_slabs_are_kept_and_all_are_used_again() -> None:
    """The others are freed with their last view, and the next ones get the same memory: no page of it is new."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    printed = subprocess.check_output([sys.executable, "-c", _FAULTS_OF_SLABS], env=environment)
    kept, faults = map(int, printed.split())
    assert kept == MOST_KEPT
    assert faults < SLAB_BYTES // PAGE_BYTES


def address(view: memoryview) -> int:
    """Return where a slab begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def test_every_slab_begins_a_page() -> None:
    """So whole pages of a body become whole pages of memory, whichever slab it is."""
    slabs = Slabs()
    held = [take(slabs) for _ in range(MOST_SLABS)]
    assert {address(view) % PAGE_BYTES for view in held} == {0}
    assert {len(view) for view in held} == {SLAB_BYTES}


def test_a_short_answer_begins_no_slab() -> None:
    """It would hold much more than it has."""
    assert Room(Slabs()).offer(LEAST_ROOM_BYTES - 1) is None


def test_reads_stand_one_behind_the_other() -> None:
    """What was filled is not offered again; a rest that is too short for a long read is left."""
    room = Room(Slabs())
    offered = room.offer(SLAB_BYTES * 2)
    assert offered is not None
    assert len(offered) == SLAB_BYTES
    offered[:3] = b"abc"
    first = room.fill(3)
    assert bytes(first) == b"abc"
    assert len(room.offer(SLAB_BYTES) or b"") == SLAB_BYTES - 3
    room.fill(SLAB_BYTES - 3 - LEAST_ROOM_BYTES + 1)
    assert len(room.offer(10) or b"") == 10, "a short one still fits"
    assert len(room.offer(SLAB_BYTES) or b"") == SLAB_BYTES, "a long one begins the next slab"
    assert bytes(first) == b"abc"


@pytest.mark.parametrize("at", [0, 1, 4095, 4096, 70_001])
def test_whole_pages_of_a_body_are_whole_pages_of_memory(at: int) -> None:
    """Wherever the first bytes of a body went, those that follow can go to a disk from where they are."""
    room = Room(Slabs())
    for _ in range(2):
        offered = room.offer(SLAB_BYTES * 2, at)
        assert offered is not None
        assert ctypes.addressof(ctypes.c_char.from_buffer(offered)) % PAGE_BYTES == at % PAGE_BYTES
        at += len(room.fill(len(offered)))
