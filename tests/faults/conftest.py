"""A replica behind a failing store for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.serving import Replica, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from tests.servers import Bucket


@pytest.fixture
async def replica(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> AsyncIterator[Replica]:
    """Return a replica that is as patient as in production, but for the pauses between attempts."""
    async with serving(nursery, bucket, prefix) as opened:
        yield opened
