"""Thousands of odd requests at a replica: each is answered as the spec has it, and none hurts the replica.

The requests are others in each run, and the same again with the seed that a run prints:

- `ZOTPY_FUZZ_SEED`: the seed of the run to repeat;
- `ZOTPY_FUZZ_REQUESTS`: how many requests, 6,000 without it;
- `ZOTPY_FUZZ_FIRST`: the number of the first one, to repeat a few.
"""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import http_client, pulled_blobs, push_blob
from tests.faults.uploads.flood import forget_peak, resident_bytes
from tests.faults.uploads.replicas import MIB, UploadReplica, wait_for
from tests.fuzz.bodies import image
from tests.fuzz.exchange import Answer, exchange, fault
from tests.fuzz.requests import Fuzzed, request
from tests.fuzz.words import BLOB, EMPTY, MEDIA_TYPES, REPOSITORY, UPLOAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.servers import Bucket

pytestmark = pytest.mark.usefixtures("plain_starts")

SEED = os.environ.get("ZOTPY_FUZZ_SEED") or secrets.token_hex(4)
REQUESTS = int(os.environ.get("ZOTPY_FUZZ_REQUESTS") or 6000)
FIRST = int(os.environ.get("ZOTPY_FUZZ_FIRST") or 0)
AT_ONCE = 8
BUDGET_BYTES = 64 * MIB
BESIDE_BUDGET_BYTES = 64 * MIB
"""What requests may take besides the budget: heads, answers, what the allocator keeps."""
SHOWN_BYTES = 600


@pytest.fixture
def replica(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a replica that keeps what the requests ask for, and some more."""
    started = UploadReplica(0, bucket, prefix, tmp_path, upload={"memoryBudget": BUDGET_BYTES})
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


def push(client: httpx.Client, tag: str) -> dict[str, int]:
    """Push an image, pull it, and return what was pulled."""
    for content, algorithm in ((BLOB, "sha256"), (EMPTY, "sha256"), (BLOB, "sha512")):
        push_blob(client, REPOSITORY, content, algorithm)
    url = f"/v2/{REPOSITORY}/manifests/{tag}"
    client.put(url, json=image(), headers={"Content-Type": MEDIA_TYPES[0]}).raise_for_status()
    return pulled_blobs(client, REPOSITORY, tag)


def ask(replica: UploadReplica, client: httpx.Client, number: int) -> str:
    """Send one request; return what is wrong with its answer, with all that it takes to see it again."""
    fuzzed = request(SEED, number)
    wire = fuzzed.wire
    if fuzzed.needs_upload:
        begun = client.post(f"/v2/{REPOSITORY}/blobs/uploads/")
        wire = wire.replace(UPLOAD.encode(), begun.headers["Location"].encode(), 1)
    answer = exchange(replica.port, fuzzed, wire)
    wrong = fault(fuzzed, wire, answer)
    return f"request {number}: {wrong}\n{wire[:SHOWN_BYTES]!r}\n{_shown(answer)}" if wrong else ""


def _shown(answer: Answer | None) -> str:
    return "" if answer is None else f"{answer.status} {answer.body[:SHOWN_BYTES]!r}"


def test_odd_requests_are_answered_and_hurt_nobody(replica: UploadReplica, capsys: pytest.CaptureFixture[str]) -> None:
    """None is a 500 or a 503; each refusal is the envelope; the replica is as well afterwards as it was before."""
    with capsys.disabled():
        print(f"\nZOTPY_FUZZ_SEED={SEED} ZOTPY_FUZZ_FIRST={FIRST} ZOTPY_FUZZ_REQUESTS={REQUESTS}")  # noqa: T201 - to repeat it
    with http_client(replica.url) as client:
        before = push(client, "v1")
        base = resident_bytes(replica)
        forget_peak(replica)
        numbers = range(FIRST, FIRST + REQUESTS)
        with ThreadPoolExecutor(AT_ONCE) as clients:
            wrong = [found for found in clients.map(lambda number: ask(replica, client, number), numbers) if found]
        assert not wrong, f"seed {SEED}: {len(wrong)} of {REQUESTS}\n" + "\n".join(wrong[:20])
        assert push(client, "afterwards") == before
    wait_for(replica, lambda now: now.held_bytes == now.waiting == 0)
    assert resident_bytes(replica, "VmHWM") <= base + BUDGET_BYTES + BESIDE_BUDGET_BYTES
    log = replica.process.log_path.read_text()
    assert "Traceback" not in log
    assert "internal_error" not in log


def test_the_requests_are_many_and_the_same_for_a_seed() -> None:
    """A seed that is printed is enough to repeat a run; the requests are of every kind."""
    made = [request("a seed", number) for number in range(2000)]
    assert made == [request("a seed", number) for number in range(2000)]
    assert made != [request("another", number) for number in range(2000)]
    assert {fuzzed.is_whole for fuzzed in made} == {True, False}
    assert {fuzzed.method for fuzzed in made} >= {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "TRACE", "get"}
    assert sum(fuzzed.needs_upload for fuzzed in made) > 200
    assert len({fuzzed.wire for fuzzed in made}) > 1900


def test_an_answer_is_judged() -> None:
    """The test notices a 500, a malformed answer, and an error without the envelope."""
    whole, cut = Fuzzed("GET", b"", 1, is_whole=True), Fuzzed("GET", b"", 1, is_whole=False)
    wire = b"GET /v2/ HTTP/1.1\r\n"
    envelope = b'{"errors": [{"code": "A", "message": "b"}]}'
    assert fault(whole, wire, None)
    assert not fault(cut, wire, None)
    assert not fault(whole, wire, Answer(200, "", b""))
    assert not fault(whole, wire, Answer(404, "application/json", envelope))
    assert not fault(whole, b"GET /readyz HTTP/1.1\r\n", Answer(405, "text/plain", b"x"))
    for status, kind, content in (
        (500, "application/json", envelope),
        (503, "application/json", envelope),
        (404, "text/html", envelope),
        (404, "application/json", b'{"errors": []}'),
        (404, "application/json", b"{}"),
        (404, "application/json", b"not found"),
    ):
        assert fault(whole, wire, Answer(status, kind, content)), (status, kind, content)
