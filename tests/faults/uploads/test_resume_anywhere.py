from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import digest_of
from tests.faults.uploads.replicas import (
    MIB,
    PART_BYTES,
    UploadReplica,
    ask,
    begin,
    finish,
    metrics_of,
    pieces,
    read_everywhere,
    send_chunk,
)

if TYPE_CHECKING:
    import random


CUTS = (3 * MIB + 1, PART_BYTES, 2 * PART_BYTES + 7)
"""Below the first part's end, at it, and past the second's."""
CONTENT_BYTES = 3 * PART_BYTES + 3
REQUESTS = 2 + len(CUTS)
"""POST, a PATCH up to each cut, and PUT."""
TAKEN_BACK = 1
"""The first chunk may be all of a blob, so it is kept as data; the second one reads it back, and goes on from it."""
ALGORITHMS = {
    "sha256": ("sha256", None),
    "sha512-learnt-at-the-end": ("sha512", None),
    "sha512-told-at-first": ("sha512", "sha512"),
}

FATES = {True: "restarted", False: "gone"}
"""Of a replica that was killed; each meets every algorithm and every gap, in half of their pairs."""


def read_backs(replicas: list[UploadReplica]) -> int:
    """Return how often the replicas have opened data to read it."""
    return sum(metrics_of(replica).calls("open") for replica in replicas)


def counted(replicas: list[UploadReplica]) -> list[int]:
    """Return how many blobs the replicas say that they read back, and how many bytes."""
    names = ("zotpy_blobs_read_back_total", "zotpy_blobs_read_back_bytes_total")
    return [sum(int(metrics_of(replica).value(name)) for replica in replicas) for name in names]


@pytest.mark.parametrize(
    ("algorithm", "told", "gap", "restarted"),
    [
        pytest.param(*how, gap, restarted := (number + gap) % 2 == 0, id=f"{name}-{gap}-{FATES[restarted]}")
        for number, (name, how) in enumerate(ALGORITHMS.items())
        for gap in range(REQUESTS - 1)
    ],
)
def test_a_replica_dies_between_two_requests(
    replicas: list[UploadReplica],
    repository: str,
    source: random.Random,
    algorithm: str,
    told: str | None,
    gap: int,
    *,
    restarted: bool,
) -> None:
    """Each request goes to another replica, and the one that answered last is killed: nothing it took is lost."""
    content = source.randbytes(CONTENT_BYTES)
    digest = digest_of(content, algorithm)
    *chunks, rest = pieces(content, *CUTS)

    route = list(replicas)

    def next_replica(request: int) -> UploadReplica:
        """Return the replica for this request, after the one before was killed if this is the gap."""
        last = route[0]
        route.append(route.pop(0))
        if request - 1 == gap:
            last.process.kill()
            route.remove(last)
            if restarted:
                last.start()
                route.insert(0, last)
        return route[0]

    progress = begin(replicas[0], repository, told)
    for number, chunk in enumerate(chunks, 1):
        progress = send_chunk(next_replica(number), progress.location, chunk)
        assert progress.offset == CUTS[number - 1]
    answer = finish(next_replica(REQUESTS - 1), progress.location, digest, rest)
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert len(route) == (3 if restarted else 2)
    assert read_everywhere(route, repository, digest) == {200}


@pytest.mark.parametrize("gap", range(1, REQUESTS))
def test_every_replica_dies_between_two_requests(
    replicas: list[UploadReplica], repository: str, source: random.Random, gap: int
) -> None:
    """With all replicas killed and started again in a gap, the upload is where its last answer said."""
    content = source.randbytes(CONTENT_BYTES)
    *chunks, rest = pieces(content, *CUTS)
    progress = begin(replicas[0], repository)
    for number, chunk in enumerate(chunks, 1):
        if number == gap:
            restart(replicas)
        progress = send_chunk(replicas[number % 3], progress.location, chunk)
    if gap == REQUESTS - 1:
        restart(replicas)
        assert ask(replicas[0], progress.location).offset == CUTS[-1]
    assert finish(replicas[1], progress.location, digest_of(content), rest).status_code == 201
    assert read_everywhere(replicas, repository, digest_of(content)) == {200}


def restart(replicas: list[UploadReplica]) -> None:
    """Kill all replicas, and start them all again."""
    for replica in replicas:
        replica.process.kill()
    for replica in replicas:
        replica.start()


@pytest.mark.parametrize(
    ("algorithm", "told", "expected"),
    [("sha256", None, 0), ("sha512", "sha512", 0), ("sha512", None, 1)],
    ids=ALGORITHMS,
)
def test_data_is_read_back_only_for_a_digest_learnt_at_the_end(
    replicas: list[UploadReplica],
    repository: str,
    source: random.Random,
    algorithm: str,
    told: str | None,
    expected: int,
) -> None:
    """A hash goes from replica to replica; an algorithm that the chunks did not know costs one reading of the data."""
    content = source.randbytes(CONTENT_BYTES)
    before = read_backs(replicas)
    upload(replicas, repository, content, digest_of(content, algorithm), told)
    assert read_backs(replicas) - before == TAKEN_BACK + expected
    assert read_everywhere(replicas, repository, digest_of(content, algorithm)) == {200}


@pytest.mark.parametrize("place", range(1, REQUESTS))
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_data_is_read_back_once_where_a_hash_cannot_travel(
    replicas: list[UploadReplica],
    plain_replica: UploadReplica,
    repository: str,
    source: random.Random,
    algorithm: str,
    place: int,
) -> None:
    """One request that a replica without libcrypto takes, whichever it is, costs one reading of the data."""
    content = source.randbytes(CONTENT_BYTES)
    digest = digest_of(content, algorithm)
    route = [*(replicas[number % 3] for number in range(place)), plain_replica]
    route += [replicas[number % 3] for number in range(place + 1, REQUESTS)]
    everyone = [*replicas, plain_replica]
    before, counted_before = read_backs(everyone), counted(everyone)
    upload(route, repository, content, digest, algorithm)
    assert read_backs(everyone) - before == TAKEN_BACK + 1
    assert [now - then for now, then in zip(counted(everyone), counted_before, strict=True)] == [1, CONTENT_BYTES]
    assert read_everywhere(everyone, repository, digest) == {200}


def test_a_replica_without_libcrypto_says_so_once(replicas: list[UploadReplica], plain_replica: UploadReplica) -> None:
    """Its log names the reason and the metric at the start; the others say nothing."""
    said = [replica.process.log_tail(limit=100_000_000).count("hash_states_stay_here") for replica in replicas]
    assert said == [0] * len(replicas)
    assert plain_replica.process.log_tail(limit=100_000_000).count("hash_states_stay_here") == 1


def test_other_bytes_are_found_out_by_reading_back(
    replicas: list[UploadReplica], plain_replica: UploadReplica, repository: str, source: random.Random
) -> None:
    """Where only the bytes in the store tell the digest, a wrong one is refused and no blob is made of it."""
    content = source.randbytes(CONTENT_BYTES)
    chunk, rest = pieces(content, CUTS[-1])
    wrong = digest_of(content + b"other")
    progress = send_chunk(plain_replica, begin(replicas[0], repository).location, chunk)
    answer = finish(replicas[1], progress.location, wrong, rest)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert read_everywhere([*replicas, plain_replica], repository, wrong) == {404}


def upload(route: list[UploadReplica], repository: str, content: bytes, digest: str, told: str | None) -> None:
    """Send an upload with a chunk up to each cut, each request to the next replica of the route."""
    *chunks, rest = pieces(content, *CUTS)
    progress = begin(route[0], repository, told)
    for number, chunk in enumerate(chunks, 1):
        progress = send_chunk(route[number % len(route)], progress.location, chunk)
    answer = finish(route[(REQUESTS - 1) % len(route)], progress.location, digest, rest)
    assert answer.status_code == 201, answer.text
