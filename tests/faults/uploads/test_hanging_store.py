from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import http_client, push_blob
from tests.faults.uploads.flood import hanging
from tests.faults.uploads.replicas import MIB, UPLOAD, HeldRequest, UploadReplica, blob_status, multiparts, wait_for

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket, SeaweedServer


@pytest.fixture
def impatient(own_bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a replica that gives up a call to the store after three seconds while the file `impatient` is there."""
    option, upload = f"--impatient-while={tmp_path / 'impatient'}", UPLOAD | {"holdTimeout": 0}
    started = UploadReplica(1, own_bucket, prefix, tmp_path, option, upload=upload)
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


async def test_a_store_that_hangs_for_too_long_is_told_of_with_429(
    impatient: UploadReplica,
    mortal_store: SeaweedServer,
    own_bucket: Bucket,
    prefix: str,
    source: random.Random,
    tmp_path: Path,
) -> None:
    """Past the deadline of a call the client gets 429 and a time to come back; nothing is held, nothing is left."""
    content = source.randbytes(24 * MIB)
    repository = f"uploads/{uuid.uuid4().hex}"
    with http_client(impatient.url) as client:
        push_blob(client, repository, content[:100])
        location = client.post(f"/v2/{repository}/blobs/uploads/").headers["Location"]
    with HeldRequest(impatient, "PATCH", location, len(content)) as request:
        request.send(content[: 12 * MIB])
        request.settle()
        with hanging(mortal_store):
            (tmp_path / "impatient").touch()
            request.send(content[12 * MIB :])
            status, headers, _ = request.answer()
            (tmp_path / "impatient").unlink()
    assert (status, headers["Retry-After"]) == (429, "5")
    wait_for(impatient, lambda now: now.held_bytes == now.waiting == 0)
    with http_client(impatient.url) as client:
        again = client.get(location)
        assert again.status_code == 204
        digest = push_blob(client, repository, content)
        assert client.delete(again.headers["Location"]).status_code == 204
    assert blob_status(impatient, repository, digest) == 200
    assert list(await multiparts(own_bucket, prefix)) == []
