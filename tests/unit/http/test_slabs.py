"""Slabs are used again once nobody has a view of them, and never before."""

from __future__ import annotations

from zotpy.http.slabs import LEAST_ROOM_BYTES, MOST_SLABS, SLAB_BYTES, Room, Slabs


def test_a_slab_is_used_again_when_its_last_view_is_gone() -> None:
    """A view of a view counts as well, wherever it went."""
    slabs = Slabs()
    first = slabs.take()
    first[0] = 1
    kept = first[10:20]
    del first
    assert slabs.take()[0] == 0, "another one: the first is in use"
    del kept
    assert slabs.take()[0] == 1


def test_more_slabs_than_are_kept_are_gone_after_use() -> None:
    """Only so many are remembered; each of those in use is one of its own."""
    slabs = Slabs()
    views = [slabs.take() for _ in range(MOST_SLABS + 2)]
    for number, view in enumerate(views):
        view[0] = number
    assert [view[0] for view in views] == list(range(MOST_SLABS + 2))
    del view, views
    held = [slabs.take() for _ in range(MOST_SLABS + 1)]
    assert sorted(view[0] for view in held) == [0, *range(MOST_SLABS)]


def test_reads_stand_one_behind_the_other() -> None:
    """What was filled is not offered again; a rest that is too short for a long read is left."""
    room = Room(Slabs())
    offered = room.offer(SLAB_BYTES * 2)
    assert len(offered) == SLAB_BYTES
    offered[:3] = b"abc"
    first = room.fill(3)
    assert bytes(first) == b"abc"
    assert len(room.offer(SLAB_BYTES)) == SLAB_BYTES - 3
    room.fill(SLAB_BYTES - 3 - LEAST_ROOM_BYTES + 1)
    assert len(room.offer(10)) == 10, "a short one still fits"
    assert len(room.offer(SLAB_BYTES)) == SLAB_BYTES, "a long one begins the next slab"
    assert bytes(first) == b"abc"
