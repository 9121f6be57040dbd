"""Pushes to a store that goes on failing: the client is told to come back, and what it left behind is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.serving import LARGE, MEDIUM, PART, Patience, assert_try_again, serving
from tests.faults.test_store_faults import CALLS, LARGE_CALLS, name_of
from tests.proxy import Drop, Flip, Reply, Stall
from tests.unit.web.serving import ABSENT, codes_of, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import trio

    from tests.faults.serving import Replica
    from tests.proxy import Fault
    from tests.servers import Bucket

UNDONE: tuple[Fault, ...] = (Reply(503, "SlowDown"), Drop("request"), Stall("request"))
"""The store has never heard of it."""
DONE: tuple[Fault, ...] = (Reply(500, "InternalError", forward=True), Stall("answer"))
SLOW = {"UploadPart", "CompleteMultipartUpload"}
"""A stall takes seconds, so it happens only to these."""


def cases() -> Iterator[tuple[str, str, bytes, Fault]]:
    """List every call with every fault that goes on."""
    for operation, below, blob in CALLS:
        for fault in UNDONE + DONE:
            if operation in SLOW or not isinstance(fault, Stall):
                yield operation, below, blob, fault


@pytest.fixture
async def hasty(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> AsyncIterator[Replica]:
    """Return a replica that waits two seconds for a store that says nothing."""
    async with serving(nursery, bucket, prefix, patience=Patience(2.0, 5.0)) as opened:
        yield opened


@pytest.mark.parametrize(("operation", "below", "blob", "fault"), list(cases()), ids=name_of)
async def test_a_call_that_always_fails_ends_the_push(
    operation: str, below: str, blob: bytes, fault: Fault, hasty: Replica
) -> None:
    """429, an envelope and Retry-After; no memory held, no multipart left; and all is well when the store is."""
    plan = hasty.plan(operation, below, lambda: fault)
    assert_try_again(await hasty.push(blob))
    assert len(plan.hit) >= 2
    assert hasty.is_idle()
    hasty.lift()
    unknown_to_us = operation == "CreateMultipartUpload" and fault in DONE
    # On a slow machine an attempt may end before the proxy has passed it on, so the store knows of fewer.
    assert await hasty.multiparts() <= (len(plan.hit) if unknown_to_us else 0)
    if operation in SLOW and fault in UNDONE:
        assert await hasty.keys("data/") == []
    assert (await hasty.push(blob)).status_code == 201
    assert await hasty.pull(blob) == blob


DAMAGED: Fault = Flip("request", 50)


@pytest.mark.parametrize("number", ["1", "3"])
async def test_a_part_that_never_arrives_undamaged_is_the_stores_fault(number: str, replica: Replica) -> None:
    """The first part or the last: the client did nothing wrong, and nothing of the upload stays."""
    replica.plan("UploadPart", "data/", lambda: None)
    replica.proxy.faults = lambda request: DAMAGED if request.query.get("partNumber") == number else None
    assert_try_again(await replica.push(LARGE))
    replica.lift()
    assert len([request for request in replica.proxy.of("UploadPart") if request.query["partNumber"] == number]) == 3
    assert (await replica.multiparts(), await replica.keys("data/"), replica.is_idle()) == (0, [], True)
    assert (await replica.push(LARGE)).status_code == 201


@pytest.mark.parametrize("below", ["data/", "leases/", "entries/"])
async def test_an_object_that_never_arrives_undamaged_is_the_stores_fault(below: str, replica: Replica) -> None:
    """Nothing that relies on it is written."""
    replica.plan("PutObject", below, lambda: DAMAGED)
    assert_try_again(await replica.push(MEDIUM))
    replica.lift()
    assert (await replica.keys("entries/"), replica.is_idle()) == ([], True)
    assert (await replica.push(MEDIUM)).status_code == 201
    assert await replica.pull(MEDIUM) == MEDIUM


@pytest.mark.parametrize("fault", [Reply(503, "SlowDown"), Drop("request"), Reply(403, "AccessDenied")], ids=name_of)
async def test_a_failing_abort_does_not_hide_why_a_push_failed(fault: Fault, replica: Replica) -> None:
    """The client learns of its mistake; what could not be aborted is the collector's."""
    replica.plan("AbortMultipartUpload", "data/", lambda: fault)
    answer = await replica.push(LARGE, digest=ABSENT)
    assert (answer.status_code, codes_of(answer)) == (400, ["DIGEST_INVALID"])
    replica.lift()
    assert replica.is_idle()
    assert await replica.multiparts() == 1


async def test_a_failing_abort_does_not_fail_a_push_of_what_is_there(replica: Replica) -> None:
    """A blob that is kept already exists for the client, whatever becomes of the bytes that it sent again."""
    assert (await replica.push(LARGE)).status_code == 201
    plan = replica.plan("AbortMultipartUpload", "data/", lambda: Reply(503, "SlowDown"))
    assert (await replica.push(LARGE, "team/other")).status_code == 201
    assert plan.hit
    replica.lift()
    assert await replica.multiparts() == 1


@pytest.mark.parametrize("fault", [Reply(503, "SlowDown"), Drop("request"), Drop("answer")], ids=name_of)
@pytest.mark.parametrize(
    ("operation", "below"), [("UploadPart", "data/"), ("PutObject", "uploads/")], ids=["part", "state"]
)
async def test_an_upload_goes_on_from_its_last_good_chunk(
    operation: str, below: str, fault: Fault, replica: Replica
) -> None:
    """A chunk that fails with the store costs only itself, and sent again it completes the blob."""
    cut = PART + 1000
    first = await replica.patch(await replica.begin(), LARGE[:cut])
    assert first.status_code == 202
    location = first.headers["Location"]
    replica.plan(operation, below, lambda: fault)
    assert_try_again(await replica.patch(location, LARGE[cut:]))
    replica.lift()
    assert replica.is_idle()
    status = await replica.client.get(location)
    offset = int(status.headers["Range"].partition("-")[2]) + 1
    assert offset == (len(LARGE) if fault == Drop("answer") and below == "uploads/" else cut)
    done = await replica.put(status.headers["Location"], LARGE[offset:], digest_of(LARGE))
    assert done.status_code == 201, done.text
    assert await replica.pull(LARGE) == LARGE
    assert await replica.multiparts() == 0
    assert await replica.keys("uploads/") == []


@pytest.mark.parametrize(("operation", "below"), LARGE_CALLS, ids=name_of)
async def test_the_end_of_an_upload_can_be_asked_for_again(operation: str, below: str, replica: Replica) -> None:
    """A PUT that fails with the store may be sent again, even if the parts were joined and the lease failed."""
    cut = PART + 1000
    first = await replica.patch(await replica.begin(), LARGE[:cut])
    last = first.headers["Location"], LARGE[cut:], digest_of(LARGE)
    plan = replica.plan(operation, below, lambda: Reply(503, "SlowDown"))
    answer = await replica.put(*last)
    if operation == "CreateMultipartUpload":  # the first chunk has begun it
        assert (answer.status_code, plan.hit) == (201, [])
        return
    assert_try_again(answer)
    replica.lift()
    again = await replica.put(*last)
    assert again.status_code == 201, again.text
    assert await replica.pull(LARGE) == LARGE
    assert (await replica.multiparts(), replica.is_idle()) == (0, True)


@pytest.mark.parametrize("below", ["leases/", "entries/", "hints/"])
async def test_the_end_of_an_upload_that_is_kept_can_be_asked_for_again(below: str, replica: Replica) -> None:
    """The same for a blob that docker sends in one chunk: its bytes are there, once."""
    first = await replica.patch(await replica.begin(), MEDIUM)
    last = first.headers["Location"], b"", digest_of(MEDIUM)
    plan = replica.plan("PutObject", below, lambda: Reply(503, "SlowDown"))
    assert_try_again(await replica.put(*last))
    assert plan.hit
    replica.lift()
    again = await replica.put(*last)
    assert again.status_code == 201, again.text
    assert await replica.pull(MEDIUM) == MEDIUM
    assert (len(await replica.keys("data/")), await replica.keys("uploads/")) == (1, [])
    assert replica.is_idle()
