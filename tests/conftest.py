"""Real S3 servers, started once for all tests that ask for them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.servers import Bucket, MotoServer, SeaweedServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Return a running SeaweedFS."""
    server = SeaweedServer(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    try:
        yield server
    finally:
        server.process.kill()


@pytest.fixture(scope="session")
def bucket(seaweed: SeaweedServer) -> Bucket:
    """Return the bucket of all replicas; each cluster has a prefix of its own."""
    return seaweed.bucket("zotpy-tests")


@pytest.fixture
def seaweed_bucket(seaweed: SeaweedServer) -> Bucket:
    """Return a bucket on SeaweedFS that no other test uses."""
    return seaweed.bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """Return a running moto."""
    server = MotoServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def moto_bucket(moto: MotoServer) -> Bucket:
    """Return a bucket on moto that no other test uses."""
    return moto.bucket(f"test-{uuid.uuid4().hex}")
