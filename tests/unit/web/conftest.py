"""A replica for each test, over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import Replica, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio


@pytest.fixture
async def replica(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that listens on this machine, and a client of it."""
    async with serving(nursery) as opened:
        yield opened
