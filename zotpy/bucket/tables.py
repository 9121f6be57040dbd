"""Tables of names that may be too many for memory: a buffer, and behind it a file that the system drops by itself.

A registry of ten million leases has about as many ids of data. As text in a Python process they would be gigabytes. Up
to `buffer_rows` of them are held in memory. After that they go to an SQLite database in a temporary file, whose own
cache is bounded.
"""

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

CACHE_KIB = 64 * 1024
KEYS_PER_QUERY = 500


@dataclass(eq=False, slots=True)
class Table:
    """Rows of a key and a value, each row once."""

    buffer_rows: int
    _rows: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _count: int = 0
    _database: sqlite3.Connection | None = None
    _lock: trio.Lock = field(default_factory=trio.Lock)
    """One task at a time moves rows or looks for them: an SQLite connection does one thing at a time anyway."""

    async def add(self, rows: Iterable[tuple[str, str]]) -> None:
        """Add rows. Rows that exist already change nothing."""
        for key, value in rows:
            values = self._rows[key]
            self._count += value not in values
            values.add(value)
        if self._count > self.buffer_rows:
            await self._spill()

    async def of(self, keys: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the values of those of these keys that have any."""
        async with self._lock:
            found = {key: set(self._rows[key]) for key in keys if key in self._rows}
            if self._database is not None:
                for key, value in await trio.to_thread.run_sync(_select, self._database, keys):
                    found.setdefault(key, set()).add(value)
        return {key: frozenset(values) for key, values in found.items()}

    async def discard(self, keys: Sequence[str]) -> None:
        """Drop the rows of these keys, if there are any."""
        async with self._lock:
            for key in keys:
                self._count -= len(self._rows.pop(key, ()))
            if self._database is not None:
                await trio.to_thread.run_sync(_delete, self._database, keys)

    async def values(self) -> AsyncIterator[Sequence[str]]:
        """Iterate over the values of all rows, some at a time. Meanwhile nothing may change the table."""
        if self._database is None:
            yield [value for values in self._rows.values() for value in sorted(values)]
        else:
            await self._move(self._database)
            rows = self._database.execute("select value from rows")
            while some := await trio.to_thread.run_sync(rows.fetchmany, KEYS_PER_QUERY):
                yield [value for (value,) in some]

    @property
    def rows_in_memory(self) -> int:
        """How many rows no file holds yet."""
        return self._count

    def close(self) -> None:
        """Drop everything."""
        if self._database is not None:
            self._database.close()

    async def _spill(self) -> None:
        """Move the rows to the file. Meanwhile others may be added, and no task looks for the moving ones."""
        async with self._lock:
            if self._count <= self.buffer_rows:
                return  # another task has done it
            if self._database is None:
                self._database = await trio.to_thread.run_sync(_open)
            await self._move(self._database)

    async def _move(self, database: sqlite3.Connection) -> None:
        rows = sorted((key, value) for key, values in self._rows.items() for value in values)
        self._rows.clear()
        self._count = 0
        await trio.to_thread.run_sync(_insert, database, rows)


@asynccontextmanager
async def table(buffer_rows: int) -> AsyncIterator[Table]:
    """Open an empty table for the length of a block."""
    made = Table(buffer_rows)
    try:
        yield made
    finally:
        made.close()


def _open() -> sqlite3.Connection:
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)  # a private temporary file
    database.executescript(
        f"pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -{CACHE_KIB};"
        "create table rows (key text, value text, primary key (key, value)) without rowid;"
    )
    return database


def _insert(database: sqlite3.Connection, rows: Sequence[tuple[str, str]]) -> None:
    database.execute("begin")
    database.executemany("insert or ignore into rows values (?, ?)", rows)
    database.execute("commit")


def _select(database: sqlite3.Connection, keys: Sequence[str]) -> list[tuple[str, str]]:
    return _of_keys(database, "select key, value", keys)


def _delete(database: sqlite3.Connection, keys: Sequence[str]) -> None:
    _of_keys(database, "delete", keys)


def _of_keys(database: sqlite3.Connection, what: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for start in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[start : start + KEYS_PER_QUERY]
        found += database.execute(f"{what} from rows where key in ({','.join('?' * len(some))})", some)
    return found
