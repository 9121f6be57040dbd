"""Tables: what was added is found, in memory and behind it on disk, whatever the buffer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio import open_nursery, run

from zotpy.bucket.tables import Table, table

WORDS = st.text(st.characters(codec="ascii"), max_size=5)
ROWS = st.lists(st.lists(st.tuples(WORDS, WORDS), max_size=20), max_size=5)


@given(ROWS, st.integers(0, 30), st.lists(WORDS, max_size=10))
def test_a_table_loses_what_is_discarded(
    batches: list[list[tuple[str, str]]], buffer_rows: int, discarded: list[str]
) -> None:
    """All other values come once each, whether they are in memory or in the file."""
    kept = {(key, value) for batch in batches for key, value in batch if key not in discarded}

    async def scene() -> None:
        async with table(buffer_rows) as made:
            for batch in batches:
                await made.add(batch)
            await made.discard(discarded)
            assert not await made.of(discarded)
            values = [value async for some in made.values() for value in some]
            assert sorted(values) == sorted(value for _, value in kept)

    run(scene)


@given(ROWS, st.integers(0, 30), st.lists(WORDS, max_size=10))
def test_a_table_holds_what_was_added(batches: list[list[tuple[str, str]]], buffer_rows: int, asked: list[str]) -> None:
    """Every row is found by its key, once, in whatever batches and however much of it went to disk."""
    expected: dict[str, set[str]] = {}
    for key, value in (row for batch in batches for row in batch):
        expected.setdefault(key, set()).add(value)

    async def scene() -> None:
        async with table(buffer_rows) as made:
            for batch in batches:
                await made.add(batch)
            keys = [*expected, *asked]
            assert await made.of(keys) == expected

    run(scene)


async def test_a_table_that_is_full_holds_little_in_memory() -> None:
    """At no time are more rows in memory than the buffer takes and one batch adds."""
    async with table(1000) as made:
        for batch in range(50):
            await made.add([(f"{batch}-{row}", "") for row in range(500)])
            assert made.rows_in_memory <= 1000
        assert len(await made.of([f"{batch}-7" for batch in range(60)])) == 50


async def test_tasks_that_fill_a_table_at_once_lose_nothing() -> None:
    """Only one of them opens the file; rows added while others are moved are found, too."""
    async with table(100) as made:

        async def fill(task: int) -> None:
            for batch in range(5):
                await made.add([(f"{task} {batch} {row}", "") for row in range(60)])
                assert await made.of([f"{task} {batch} 7"])

        async with open_nursery() as nursery:
            for task in range(8):
                nursery.start_soon(fill, task)
        everything = [f"{task} {batch} {row}" for task in range(8) for batch in range(5) for row in range(60)]
        assert len(await made.of(everything)) == len(everything)


async def test_more_keys_than_one_query_takes_are_asked_for() -> None:
    """SQLite bounds the number of values in a query; a page of a listing has more."""
    async with table(0) as made:
        await made.add([(str(number), "x") for number in range(3000)])
        assert len(await made.of([str(number) for number in range(2000, 5000)])) == 1000


@pytest.mark.parametrize("buffer_rows", [0, 10])
async def test_a_table_is_empty_at_first(buffer_rows: int) -> None:
    """Nothing is found in it."""
    assert await Table(buffer_rows).of(["a"]) == {}
