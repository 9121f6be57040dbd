"""A store in memory on a clock, counted, and what happens to a slow one."""

from __future__ import annotations

import pytest

from tests.calls import CallLog
from tests.unit.registry.support import Clock, Script
from zotpy.store.memory_store import MemoryStore


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the store."""
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryStore:
    """Return an empty store on that clock."""
    return MemoryStore(clock)


@pytest.fixture
def log(memory: MemoryStore) -> CallLog:
    """Return the store, counted."""
    return CallLog(memory)


@pytest.fixture
def script() -> Script:
    """Return what happens to the slow records."""
    return Script()
