"""Every store in turn, for the one suite that all must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from zotpy.store.memory_store import MemoryStore
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Bucket
    from zotpy.store.interface import Store


@pytest.fixture(params=["memory", "moto", "seaweed"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each kind of store in turn."""
    return str(request.param)


@pytest.fixture
def store_bucket(request: pytest.FixtureRequest, kind: str) -> Bucket | None:
    """Return the bucket of the store; `None` is the store in memory."""
    if kind == "memory":
        return None
    return cast("Bucket", request.getfixturevalue({"moto": "moto_bucket", "seaweed": "bucket"}[kind]))


@pytest.fixture
def atomic_conditions(kind: str) -> None:
    """Leave out the store whose conditions are two steps."""
    if kind == "moto":
        pytest.skip("moto checks a condition and writes in two steps: of two threads both can win")


@pytest.fixture
def over_http(kind: str) -> None:
    """Leave out the store that nothing outside this process can reach."""
    if kind == "memory":
        pytest.skip("the store in memory has no server")


@pytest.fixture
async def store(store_bucket: Bucket | None, prefix: str) -> AsyncIterator[Store]:
    """Return each store in turn, empty."""
    if store_bucket is None:
        yield MemoryStore()
    else:
        async with open_s3_store(store_bucket.config(), prefix, create_bucket=True) as opened:
            yield opened
