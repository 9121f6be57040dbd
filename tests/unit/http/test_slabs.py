"""A slab is free once nobody has a view of it, and never before."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from zotpy.http.slabs import LEAST_ROOM_BYTES, MOST_SLABS, PAGE_BYTES, SLAB_BYTES, Room, Slabs


def take(slabs: Slabs) -> memoryview:
    """Take a slab that is there."""
    slab = slabs.take()
    assert slab is not None
    return slab


def test_a_slab_stays_as_long_as_any_view_of_it() -> None:
    """A view of a view counts as well, wherever it went."""
    slabs = Slabs(most_slabs=1)
    first = take(slabs)
    assert len(first) == SLAB_BYTES
    first[10] = 1
    kept = first[10:20]
    del first
    assert slabs.take() is None
    assert kept[0] == 1
    del kept
    assert len(take(slabs)) == SLAB_BYTES


def test_no_two_slabs_share_a_byte() -> None:
    """What is received into one is not seen in another."""
    slabs = Slabs()
    views = [take(slabs) for _ in range(3)]
    for number, view in enumerate(views):
        view[0] = view[-1] = number
    assert [(view[0], view[-1]) for view in views] == [(0, 0), (1, 1), (2, 2)]


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
from zotpy.allocator import keep_freed
from zotpy.http.slabs import MOST_SLABS, PAGE_BYTES, SLAB_BYTES, Slabs

slabs, pages = Slabs(), SLAB_BYTES // PAGE_BYTES

def use():
    held = [slabs.take() for _ in range(MOST_SLABS)]
    for view in held:
        view[::PAGE_BYTES] = bytes(pages)

keep_freed(512 << 20)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep other memory")
def test_the_next_slabs_are_in_the_same_memory() -> None:
    """They are freed with their last view, and no page of the next ones is new."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = subprocess.check_output([sys.executable, "-c", _FAULTS_OF_SLABS], env=environment)
    assert int(faults) < SLAB_BYTES // PAGE_BYTES


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
