"""Pushes to a store that fails, on a real SeaweedFS: what passes is cured, what lasts is said, and nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.serving import LARGE, MEDIUM, PARTS, SMALL
from tests.proxy import Drop, Flip, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.serving import Replica
    from tests.proxy import Fault

LARGE_CALLS = [
    ("CreateMultipartUpload", "data/"),
    ("UploadPart", "data/"),
    ("CompleteMultipartUpload", "data/"),
    ("ListObjectsV2", "hints/"),
    ("PutObject", "hints/"),
    ("PutObject", "leases/"),
    ("PutObject", "entries/"),
]
"""What a blob of several parts takes; see docs/design.md."""
CALLS = [
    *((operation, below, LARGE) for operation, below in LARGE_CALLS),
    ("PutObject", "data/", MEDIUM),
    ("PutObject", "entries/", SMALL),
]
WITH_BODY = {"UploadPart", "CompleteMultipartUpload", "PutObject"}
ANSWERED_WITH_BODY = {"CreateMultipartUpload", "CompleteMultipartUpload"}
SLOW_DOWN, INTERNAL = Reply(503, "SlowDown"), Reply(500, "InternalError")
DONE: tuple[Fault, ...] = (Reply(500, "InternalError", forward=True), Drop("answer"), Drop("answer", 0))
"""The store has done what was asked."""


def faults_of(operation: str) -> Iterator[Fault]:
    """List the faults that can happen to a call."""
    yield from (SLOW_DOWN, Reply(503, "SlowDown", read_body=False), INTERNAL, Drop("request"))
    yield from DONE[:2]
    if operation in WITH_BODY:
        yield Drop("request", 10)
    if operation in ANSWERED_WITH_BODY:
        yield DONE[2]
    if operation == "CompleteMultipartUpload":
        yield from (Reply(200, "InternalError"), Reply(200, "InternalError", forward=True))
    elif operation in WITH_BODY:
        yield Flip("request", 50)


def name_of(value: object) -> str:
    """Name a case of a test."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value).replace("/", "")


@pytest.mark.parametrize(
    ("operation", "below", "blob", "fault"),
    [(*call, fault) for call in CALLS for fault in faults_of(call[0])],
    ids=name_of,
)
async def test_a_call_that_fails_once_is_made_again(
    operation: str, below: str, blob: bytes, fault: Fault, replica: Replica
) -> None:
    """The push succeeds with one more call than it takes, its bytes are right, and nothing is left of the first."""
    plan = replica.plan(operation, below, lambda: fault, first=1)
    answer = await replica.push(blob)
    assert answer.status_code == 201, answer.text
    assert len(plan.hit) == (PARTS if operation == "UploadPart" else 1) + 1
    assert await replica.pull(blob) == blob
    assert len(await replica.keys("data/")) == (0 if blob is SMALL else 1)
    began_twice = operation == "CreateMultipartUpload" and fault in DONE  # the second is nobody's: the collector's
    assert await replica.multiparts() == (1 if began_twice else 0)
    assert replica.is_idle()
