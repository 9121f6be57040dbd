import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.errors import BlobTooLarge
from zotpy.core.parts import (
    LARGEST_COUNT,
    LARGEST_PART_BYTES,
    PartPlan,
    largest_blob_bytes,
    plan_chunks,
    plan_whole,
)
from zotpy.core.units import MIB

GIB = 1024 * MIB
TB = 10**12
PART = 8 * MIB
LARGEST = 503 * MIB
"""The largest part of the default budget: 512 MiB without a part and a read."""


def lengths(plan: PartPlan, size_bytes: int) -> list[int]:
    """Cut a body into the parts of a plan."""
    found: list[int] = []
    while size_bytes:
        found.append(min(size_bytes, plan.size_bytes(len(found) + 1)))
        size_bytes -= found[-1]
    return found


@pytest.mark.parametrize(
    ("length_bytes", "part_bytes"),
    [
        (0, PART),
        (1, PART),
        (LARGEST_COUNT * PART, PART),
        (LARGEST_COUNT * PART + 1, 9 * MIB),
        (100 * GIB, 11 * MIB),
        (TB, 96 * MIB),
        (5 * TB, 477 * MIB),
    ],
)
def test_a_known_length_takes_equal_parts(length_bytes: int, part_bytes: int) -> None:
    """The parts are the configured ones, or the least number of MiB with which 10,000 of them hold the blob."""
    plan = plan_whole(length_bytes, PART, LARGEST)
    assert {plan.size_bytes(number) for number in (1, 1001, LARGEST_COUNT)} == {part_bytes}


@given(st.integers(0, largest_blob_bytes(LARGEST)), st.integers(5 * MIB, 100 * MIB))
def test_whatever_fits_on_paper_fits_into_the_plan(length_bytes: int, part_bytes: int) -> None:
    """Any blob up to the bound goes into 10,000 parts, of which none is longer than the budget holds."""
    plan = plan_whole(length_bytes, part_bytes, LARGEST)
    assert part_bytes <= plan.first_bytes <= LARGEST
    assert plan.first_bytes * LARGEST_COUNT >= length_bytes


def test_five_terabytes_fit_with_the_default_budget() -> None:
    """The bound of the default memory budget is above 5 TB; with the largest parts of S3 it is 48 TiB."""
    assert largest_blob_bytes(LARGEST) > 5 * TB
    assert largest_blob_bytes(LARGEST_PART_BYTES * 2) == LARGEST_COUNT * LARGEST_PART_BYTES


@pytest.mark.parametrize("rule", [plan_whole, plan_chunks])
def test_what_cannot_fit_is_refused_with_what_to_do(rule: type) -> None:
    """A known length above the bound is an error that names the settings."""
    assert rule(largest_blob_bytes(LARGEST), PART, LARGEST)
    with pytest.raises(BlobTooLarge, match=r"upload\.memoryBudget"):
        rule(largest_blob_bytes(LARGEST) + 1, PART, LARGEST)


def test_a_stream_has_equal_parts_up_to_8_gb_and_reaches_terabytes() -> None:
    """Parts double after each 1,000, so that 10,000 hold 2.6 TB, and none is longer than the budget holds."""
    plan = plan_chunks(None, PART, LARGEST)
    assert set(lengths(plan, 8 * 10**9)[:-1]) == {PART}
    found = lengths(plan, 2_600_000_000_000)
    assert len(found) <= LARGEST_COUNT
    assert [found[at] // MIB for at in (0, 999, 1000, 1999, 2000, 5999, 6000)] == [8, 8, 16, 16, 32, 256, 503]
    assert max(found) == LARGEST


def test_a_first_chunk_of_known_length_has_equal_parts_and_more_may_follow() -> None:
    """A chunk of 50 GiB takes half of the parts at most, all alike; what follows grows."""
    plan = plan_chunks(50 * GIB, PART, LARGEST)
    count = -(-50 * GIB // plan.first_bytes)
    assert plan.first_bytes == 11 * MIB
    assert count <= LARGEST_COUNT // 2
    assert (plan.size_bytes(count), plan.size_bytes(count + 1)) == (11 * MIB, 22 * MIB)
    plan.check_room(count, 800 * 10**9)


@given(st.integers(1, 5 * TB), st.integers(5 * MIB, LARGEST))
def test_a_first_chunk_fits_into_equal_parts(length_bytes: int, part_bytes: int) -> None:
    """However long the first chunk is, its parts are alike, and later ones never shorter."""
    plan = plan_chunks(length_bytes, part_bytes, LARGEST)
    count = -(-length_bytes // plan.first_bytes)
    assert count <= LARGEST_COUNT
    assert plan.size_bytes(count) == plan.first_bytes
    sizes = [plan.size_bytes(number) for number in range(1, LARGEST_COUNT + 1)]
    assert sizes == sorted(sizes)
    assert sizes[-1] <= LARGEST


def test_room_is_what_the_parts_left_hold() -> None:
    """A chunk that fits exactly is taken, and one more byte is refused. No part follows the last one."""
    plan = PartPlan(10, 40, 9_000)
    room = 1_000 * 20
    plan.check_room(9_000, room)
    with pytest.raises(BlobTooLarge):
        plan.check_room(9_000, room + 1)
    plan.check_number(LARGEST_COUNT)
    with pytest.raises(BlobTooLarge):
        plan.check_number(LARGEST_COUNT + 1)


def test_parts_configured_longer_than_what_is_left_are_not_made_shorter() -> None:
    """Where parts are as long as the budget allows they stay so."""
    plan = plan_chunks(None, LARGEST, LARGEST)
    assert plan.size_bytes(LARGEST_COUNT) == LARGEST
