from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import digest_of
from tests.faults.uploads.replicas import (
    PART_BYTES,
    HeldRequest,
    Progress,
    UploadReplica,
    ask,
    begin,
    finish,
    read_everywhere,
    send_chunk,
    with_digest,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

STARTS = {"fresh": 0, "short tail": 17, "with parts": PART_BYTES + 3}
LENGTHS = {"below a part": 70_000, "two parts": 2 * PART_BYTES + 5}
every_start = pytest.mark.parametrize("saved", STARTS.values(), ids=STARTS)
every_length = pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)


@dataclass(frozen=True)
class Racer:
    """One of two requests for the same place of an upload, with bytes of its own."""

    method: str
    replica: UploadReplica
    chunk: bytes
    digest: str
    """Of the whole upload, if it ends with these bytes."""


@dataclass(frozen=True)
class Outcome:
    """How a racer ended."""

    racer: Racer
    status: int
    progress: Progress
    body: bytes


def make_racers(
    methods: tuple[str, str], replicas: list[UploadReplica], start: bytes, length: int, source: random.Random
) -> list[Racer]:
    """Return two requests at two replicas that go on with `start`, each in another way."""
    chunks = [source.randbytes(length) for _ in methods]
    return [
        Racer(method, replica, chunk, digest_of(start + chunk))
        for method, replica, chunk in zip(methods, replicas, chunks, strict=False)
    ]


def race(racers: Sequence[Racer], location: str, saved: int, first: int | None = None) -> list[Outcome]:
    """Hold the requests in the middle of their bodies until both replicas took their halves, then let both go on.

    With `first`, that one ends before the other goes on.
    """

    def run(racer: Racer) -> Outcome:
        request = requests[racer]
        request.send(racer.chunk[len(racer.chunk) // 2 :])
        status, headers, body = request.answer()
        return Outcome(racer, status, Progress.of(status, headers), body)

    requests = {racer: held(racer, location, saved) for racer in racers}
    try:
        for request in requests.values():
            request.settle()
        if first is not None:
            order = [racers[first], *(racer for racer in racers if racer is not racers[first])]
            return [run(racer) for racer in order]
        with ThreadPoolExecutor(len(racers)) as threads:
            return list(threads.map(run, racers))
    finally:
        for request in requests.values():
            request.close()


def held(racer: Racer, location: str, saved: int) -> HeldRequest:
    """Send a request up to the middle of its body."""
    url = with_digest(location, racer.digest) if racer.method == "PUT" else location
    request = HeldRequest(racer.replica, racer.method, url, len(racer.chunk), saved)
    request.send(racer.chunk[: len(racer.chunk) // 2])
    return request


def begun(replica: UploadReplica, repository: str, start: bytes) -> Progress:
    """Begin an upload that has these bytes."""
    progress = begin(replica, repository)
    return send_chunk(replica, progress.location, start) if start else progress


@every_start
@every_length
def test_one_of_two_chunks_for_one_place_wins(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, length: int
) -> None:
    """Of two chunks one wins; the other learns where the upload is now, and no blob has bytes of both."""
    start = source.randbytes(saved)
    location = begun(replicas[2], repository, start).location
    racers = make_racers(("PATCH", "PATCH"), replicas, start, length, source)
    outcomes = race(racers, location, saved)
    check_one_winner(replicas, repository, outcomes, saved + length)


@pytest.mark.parametrize("first", [0, 1])
@every_start
def test_the_chunk_that_ends_first_wins(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, first: int
) -> None:
    """The other, whose parts are with the store already, is refused at its end: the winner's bytes make the blob."""
    start = source.randbytes(saved)
    location = begun(replicas[2], repository, start).location
    length = 2 * PART_BYTES + 5
    outcomes = race(make_racers(("PATCH", "PATCH"), replicas, start, length, source), location, saved, first)
    assert [outcome.status for outcome in outcomes] == [202, 416]
    check_one_winner(replicas, repository, outcomes, saved + length)


def check_one_winner(replicas: list[UploadReplica], repository: str, outcomes: list[Outcome], end: int) -> None:
    """See that one chunk won, that the loser learns where to go on, and that the blob is the winner's."""
    winner, loser = sorted(outcomes, key=lambda outcome: outcome.status)
    assert (winner.status, loser.status) == (202, 416)
    assert winner.progress.offset == loser.progress.offset == end
    assert ask(replicas[2], loser.progress.location).offset == end
    answer = finish(replicas[2], loser.progress.location, winner.racer.digest)
    assert answer.status_code == 201, answer.text
    assert read_everywhere(replicas, repository, winner.racer.digest) == {200}
    assert read_everywhere(replicas, repository, loser.racer.digest) == {404}


@every_start
@every_length
def test_a_last_chunk_races_a_chunk(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, length: int
) -> None:
    """A PUT and a PATCH at once: an acknowledged PUT made the blob of its own bytes; otherwise no blob exists."""
    start = source.randbytes(saved)
    location = begun(replicas[2], repository, start).location
    put, patch = race(make_racers(("PUT", "PATCH"), replicas, start, length, source), location, saved)
    assert put.status in {201, 400, 404, 416}, put
    assert patch.status in {202, 404, 416}, patch
    assert put.status == 201 or patch.status == 202, (put, patch)
    check_blobs(replicas, repository, [put])
    if patch.status == 202 and put.status != 201:
        answer = finish(replicas[2], patch.progress.location, patch.racer.digest)
        assert answer.status_code in {201, 404}, answer.text
        assert read_everywhere(replicas, repository, patch.racer.digest) == {200 if answer.status_code == 201 else 404}


@every_start
@every_length
def test_two_last_chunks_race(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int, length: int
) -> None:
    """Of two PUTs with different bytes each that is acknowledged made its blob, and each other made none."""
    start = source.randbytes(saved)
    location = begun(replicas[2], repository, start).location
    outcomes = race(make_racers(("PUT", "PUT"), replicas, start, length, source), location, saved)
    assert {outcome.status for outcome in outcomes} <= {201, 400, 404, 416}, outcomes
    check_blobs(replicas, repository, outcomes)


@every_start
def test_the_same_last_chunk_twice_at_once(
    replicas: list[UploadReplica], repository: str, source: random.Random, saved: int
) -> None:
    """A client that asks again while its first PUT is under way gets the blob, whichever of the two is faster."""
    start = source.randbytes(saved)
    location = begun(replicas[2], repository, start).location
    racer, other = make_racers(("PUT", "PUT"), replicas, start, 2 * PART_BYTES + 5, source)
    outcomes = race([racer, Racer("PUT", other.replica, racer.chunk, racer.digest)], location, saved)
    assert 201 in {outcome.status for outcome in outcomes}, outcomes
    assert {outcome.status for outcome in outcomes} <= {201, 400, 404}, outcomes
    assert read_everywhere(replicas, repository, racer.digest) == {200}


def check_blobs(replicas: list[UploadReplica], repository: str, outcomes: list[Outcome]) -> None:
    """See that the blobs that were acknowledged are whole at every replica, and that the others do not exist."""
    for outcome in outcomes:
        expected = 200 if outcome.status == 201 else 404
        assert read_everywhere(replicas, repository, outcome.racer.digest) == {expected}, outcome
