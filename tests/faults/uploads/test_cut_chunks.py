from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import digest_of
from tests.faults.uploads.replicas import (
    MIB,
    PART_BYTES,
    UPLOAD,
    HeldRequest,
    Progress,
    UploadReplica,
    ask,
    begin,
    blob_status,
    finish,
    read_everywhere,
    send_chunk,
    wait_for,
    with_digest,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

CONTENT_BYTES = 4 * PART_BYTES + 11
SAVED_BYTES = [0, 17, PART_BYTES, PART_BYTES + 3]
"""What an earlier chunk brought: nothing, less than a part, a whole one, more than one."""
CUTS = [2, 3 * MIB, PART_BYTES, 2 * PART_BYTES + 5]
"""After how many bytes of its own the chunk is cut."""
every_cut = pytest.mark.parametrize("cut", CUTS)
every_start = pytest.mark.parametrize("saved", SAVED_BYTES)
half_of_both = pytest.mark.parametrize(
    ("saved", "cut"),
    [(saved, cut) for at, saved in enumerate(SAVED_BYTES) for by, cut in enumerate(CUTS) if (at + by) % 2 == 0],
)
"""Each start with two of the cuts, each cut with two of the starts: how a chunk ends has nothing to do with both."""


@pytest.fixture(scope="module")
def impatient(bucket: Bucket, directory: Path, all_replicas: list[UploadReplica]) -> Iterator[UploadReplica]:
    """Return one more replica of the same registry, which waits for a client's bytes for two seconds only."""
    prefix = all_replicas[0].prefix
    replica = UploadReplica(
        4, bucket, prefix, directory, upload=UPLOAD | {"bodyStallTimeout": "2s", "bodyIdleTimeout": "2s"}
    )
    try:
        replica.start()
        yield replica
    finally:
        replica.process.kill()


@every_cut
@every_start
def test_client_hangs_up_in_a_chunk(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, cut: int
) -> None:
    """Every byte that the replica took before the client hung up is safe: the upload goes on from there anywhere."""
    content = source.randbytes(CONTENT_BYTES)
    progress = first_chunk(replicas[0], repository, content[:saved])
    with HeldRequest(replicas[1], "PATCH", progress.location, CONTENT_BYTES - saved, saved) as request:
        request.send(content[saved : saved + cut])
        request.settle()
    wait_until_saved(replicas[1])
    status = ask(replicas[2], progress.location)
    assert status.offset == saved + cut
    go_on(replicas, repository, content, status)


@half_of_both
def test_client_stalls_in_a_chunk(
    replicas: list[UploadReplica],
    impatient: UploadReplica,
    repository: str,
    source: random.Random,
    saved: int,
    cut: int,
) -> None:
    """A client that sends nothing more is told so with 408, and every byte that it sent is safe."""
    content = source.randbytes(CONTENT_BYTES)
    progress = first_chunk(replicas[0], repository, content[:saved])
    with HeldRequest(impatient, "PATCH", progress.location, CONTENT_BYTES - saved, saved) as request:
        request.send(content[saved : saved + cut])
        answered, headers, _ = request.answer()
    assert (answered, headers["Connection"]) == (408, "close")
    status = ask(replicas[2], progress.location)
    assert status.offset == saved + cut
    go_on(replicas, repository, content, status)


@half_of_both
def test_replica_dies_in_a_chunk(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, cut: int
) -> None:
    """What was acknowledged before the death is safe, and the upload goes on from what the status says, at another."""
    content = source.randbytes(CONTENT_BYTES)
    progress = first_chunk(replicas[0], repository, content[:saved])
    with HeldRequest(replicas[1], "PATCH", progress.location, CONTENT_BYTES - saved, saved) as request:
        request.send(content[saved : saved + cut])
        request.settle()
        replicas[1].process.kill()
    status = ask(replicas[2], progress.location)
    assert saved <= status.offset <= saved + cut
    go_on([replicas[0], replicas[2]], repository, content, status)


@pytest.mark.parametrize("end", ["hangs up", "dies"])
def test_last_request_is_cut(replicas: list[UploadReplica], repository: str, source: random.Random, end: str) -> None:
    """A PUT that is cut in its body makes no blob, and leaves the chunks before it as they were."""
    content = source.randbytes(CONTENT_BYTES)
    saved = PART_BYTES + 3
    digest = digest_of(content)
    progress = first_chunk(replicas[0], repository, content[:saved])
    location = with_digest(progress.location, digest)
    with HeldRequest(replicas[1], "PUT", location, CONTENT_BYTES - saved, saved) as request:
        request.send(content[saved : saved + 2 * PART_BYTES])
        request.settle()
        if end == "dies":
            replicas[1].process.kill()
    if end == "hangs up":
        wait_until_saved(replicas[1])
    assert blob_status(replicas[2], repository, digest) == 404
    status = ask(replicas[2], progress.location)
    assert saved <= status.offset <= saved + 2 * PART_BYTES
    go_on([replicas[0], replicas[2]], repository, content, status)


def first_chunk(replica: UploadReplica, repository: str, chunk: bytes) -> Progress:
    """Begin an upload, with a chunk if there is any."""
    progress = begin(replica, repository)
    return send_chunk(replica, progress.location, chunk) if chunk else progress


def wait_until_saved(replica: UploadReplica) -> None:
    """Wait until a replica has done with a request that was cut: it then holds nothing of it."""
    wait_for(replica, lambda now: now.held_bytes == 0)


def go_on(replicas: list[UploadReplica], repository: str, content: bytes, status: Progress) -> None:
    """Send the rest in a chunk and a last request, each to another replica, and read the blob from all."""
    middle = (status.offset + len(content)) // 2
    progress = send_chunk(replicas[0], status.location, content[status.offset : middle])
    assert progress.offset == middle
    digest = digest_of(content)
    answer = finish(replicas[1], progress.location, digest, content[middle:])
    assert (answer.status_code, answer.text) == (201, "")
    assert read_everywhere(replicas, repository, digest) == {200}
