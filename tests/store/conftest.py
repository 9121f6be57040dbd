"""Every store in turn, for the one suite that all must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from zotpy.store.memory import MemoryStore
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Bucket
    from zotpy.store.interface import Store


@pytest.fixture(params=["memory", "moto", "seaweed"])
def store_bucket(request: pytest.FixtureRequest) -> Bucket | None:
    """Return a bucket of each server in turn; `None` is the store in memory."""
    if request.param == "memory":
        return None
    return cast("Bucket", request.getfixturevalue({"moto": "moto_bucket", "seaweed": "bucket"}[request.param]))


@pytest.fixture
async def store(store_bucket: Bucket | None, prefix: str) -> AsyncIterator[Store]:
    """Return each store in turn, empty."""
    if store_bucket is None:
        yield MemoryStore()
    else:
        async with open_s3_store(store_bucket.config(), prefix, create_bucket=True) as opened:
            yield opened
