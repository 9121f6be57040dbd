"""Replicas on a real S3 server that a test may kill."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.faults.uploads.replicas import UploadReplica, wait_for
from tests.servers import SeaweedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the replicas keep settings and logs."""
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def all_replicas(bucket: Bucket, directory: Path) -> Iterator[list[UploadReplica]]:
    """Return four running replicas of one registry; the last one knows no libcrypto."""
    prefix = f"uploads/{uuid.uuid4().hex}"
    started = [UploadReplica(index, bucket, prefix, directory) for index in range(3)]
    started.append(UploadReplica(3, bucket, prefix, directory, "--without-libcrypto"))
    try:
        for replica in started:
            replica.start()
        yield started
    finally:
        for replica in started:
            replica.process.kill()


@pytest.fixture
def revived(all_replicas: list[UploadReplica]) -> Iterator[list[UploadReplica]]:
    """Return the replicas, all alive; each one that lives after the test holds nothing."""
    yield all_replicas
    for replica in all_replicas:
        if replica.process.is_running:
            wait_for(replica, lambda now: now.held_bytes == now.waiting == 0)
        else:
            replica.start()


@pytest.fixture
def replicas(revived: list[UploadReplica]) -> list[UploadReplica]:
    """Return three replicas, all alike."""
    return revived[:3]


@pytest.fixture
def plain_replica(revived: list[UploadReplica]) -> UploadReplica:
    """Return the replica without libcrypto: it cannot pass on what it has hashed."""
    return revived[3]


@pytest.fixture
def repository() -> str:
    """Return a repository name that no other test uses."""
    return f"uploads/{uuid.uuid4().hex}"


@pytest.fixture
def source(request: pytest.FixtureRequest) -> random.Random:
    """Return where the bytes of this test come from, the same each time."""
    return random.Random(request.node.nodeid)


@pytest.fixture(scope="module")
def mortal_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Return a SeaweedFS of our own, to let hang."""
    server = SeaweedServer(tmp_path_factory.mktemp("hanging"))
    server.start()
    try:
        yield server
    finally:
        server.process.kill()


@pytest.fixture
def own_bucket(mortal_store: SeaweedServer) -> Bucket:
    """Return a bucket on it."""
    return mortal_store.bucket("zotpy-tests")
