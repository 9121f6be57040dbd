"""Pushes to a store that fails for longer than one call is repeated: they are held, and lost only past the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.faults.serving import (
    CLIENT_TIMEOUT_S,
    LARGE,
    MEDIUM,
    PART,
    QUICKLY,
    REPO,
    SMALL,
    UPLOADS,
    assert_try_again,
    serving,
)
from tests.faults.test_store_faults import CALLS, LARGE_CALLS, name_of
from tests.proxy import Drop, Reply
from tests.unit.web.serving import CONFIG, digest_of, image
from zotpy.core.media_types import OCI_IMAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.faults.serving import Replica
    from tests.proxy import Fault
    from tests.servers import Bucket

STUMBLES = QUICKLY.attempts + 1
"""This many failures end one call with all its attempts, and make the next begin with another."""
PASSING: tuple[Fault, ...] = (Reply(503, "SlowDown"), Drop("answer"))
"""Before the store has done it, and after."""


@pytest.fixture
async def holding(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> AsyncIterator[Replica]:
    """Return a replica that holds requests for a minute."""
    async with serving(nursery, bucket, prefix, holds_s=(60.0, 10.0)) as opened:
        yield opened


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
@pytest.mark.parametrize(("operation", "below", "blob"), CALLS, ids=name_of)
async def test_a_push_outlives_what_one_call_does_not(
    operation: str, below: str, blob: bytes, fault: Fault, holding: Replica
) -> None:
    """201, the right bytes, and no memory: the client learns of nothing."""
    plan = holding.plan(operation, below, lambda: fault, first=STUMBLES)
    answer = await holding.push(blob)
    assert answer.status_code == 201, answer.text
    assert len(plan.hit) > STUMBLES
    holding.lift()
    assert await holding.pull(blob) == blob
    assert holding.is_idle()


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
@pytest.mark.parametrize("blob", [SMALL, MEDIUM, LARGE], ids=name_of)
async def test_the_state_of_an_upload_is_saved_in_the_end(blob: bytes, fault: Fault, holding: Replica) -> None:
    """A write on a condition that was done, though nobody learned of it, is not taken for another request's."""
    location = await holding.begin()
    plan = holding.plan("PutObject", "uploads/", lambda: fault, first=STUMBLES)
    first = await holding.patch(location, blob)
    assert first.status_code == 202, first.text
    assert len(plan.hit) > STUMBLES
    holding.lift()
    done = await holding.put(first.headers["Location"], b"", digest_of(blob))
    assert done.status_code == 201, done.text
    assert await holding.pull(blob) == blob


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
@pytest.mark.parametrize("below", ["leases/", "tagged/", "tags/", "entries/"])
async def test_a_manifest_is_held_as_well(below: str, fault: Fault, holding: Replica) -> None:
    """No client but a few sends a manifest again."""
    await holding.push(CONFIG)
    plan = holding.plan("PutObject", below, lambda: fault, first=STUMBLES)
    url = f"/v2/{REPO}/manifests/v1"
    answer = await holding.client.put(url, content=image(), headers={"Content-Type": OCI_IMAGE})
    assert answer.status_code == 201, answer.text
    assert len(plan.hit) > STUMBLES
    holding.lift()
    assert (await holding.client.get(url)).content == image()


async def ask(replica: Replica, method: str) -> httpx.Response:
    """Make a request without a body that reads the entry of `SMALL`; POST mounts it elsewhere."""
    url = f"/v2/{REPO}/blobs/{digest_of(SMALL)}"
    if method == "POST":
        url = f"/v2/team/other/blobs/uploads/?mount={digest_of(SMALL)}&from={REPO}"
    return await replica.client.request(method, url)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
async def test_what_has_no_body_is_held_for_seconds(method: str, holding: Replica) -> None:
    """Clients differ in what they repeat: cosign not 429, skopeo nothing else, dxf nothing at all."""
    await holding.push(SMALL)
    plan = holding.plan("GetObject", "entries/", lambda: PASSING[0], first=STUMBLES)
    assert (await ask(holding, method)).is_success
    assert len(plan.hit) > STUMBLES


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
async def test_what_has_no_body_is_answered_soon(
    method: str, nursery: trio.Nursery, bucket: Bucket, prefix: str
) -> None:
    """429: most clients repeat such a request."""
    async with serving(nursery, bucket, prefix, holds_s=(60.0, 5.0)) as replica:
        await replica.push(SMALL)
        plan = replica.plan("GetObject", "entries/", lambda: PASSING[0])
        answer = await ask(replica, method)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert QUICKLY.attempts < len(plan.hit) < 8 * QUICKLY.attempts


@pytest.mark.parametrize(("operation", "below"), LARGE_CALLS, ids=name_of)
async def test_a_whole_put_that_failed_can_be_repeated(operation: str, below: str, replica: Replica) -> None:
    """POST and PUT of all bytes, as oras and containerd push: the Location is as good as before."""
    location = await replica.begin()
    replica.plan(operation, below, lambda: PASSING[0])
    assert_try_again(await replica.put(location, LARGE, digest_of(LARGE)))
    replica.lift()
    again = await replica.put(location, LARGE, digest_of(LARGE))
    assert again.status_code == 201, again.text
    assert await replica.pull(LARGE) == LARGE
    assert (await replica.multiparts(), replica.is_idle()) == (0, True)


async def come_true(condition: Callable[[], bool]) -> None:
    """Wait until it holds; nothing tells of it."""
    with trio.fail_after(CLIENT_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - no event
            await trio.sleep(0.01)


async def cut_off(replica: Replica, method: str, location: str, sent: bytes) -> None:
    """Announce more bytes than are sent, and leave."""
    async with await replica.connect() as stream:
        target = httpx.URL(location).raw_path.decode()
        head = f"{method} {target} HTTP/1.1\r\nHost: registry\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        await stream.send_all(head.encode() + sent)
    while (await replica.ended.receive()).received_bytes != len(sent):
        pass


@pytest.mark.parametrize("sent_bytes", [0, 1000, PART + 1000])
@pytest.mark.parametrize("is_first", [True, False], ids=["whole", "last"])
async def test_a_put_that_was_cut_can_be_repeated(*, sent_bytes: int, is_first: bool, replica: Replica) -> None:
    """From the same Location with all its bytes again, whether chunks came before it or not."""
    location, rest = await replica.begin(), LARGE
    if not is_first:
        first = await replica.patch(location, LARGE[: PART + 1])
        location, rest = first.headers["Location"], LARGE[PART + 1 :]
    target = str(httpx.URL(location).copy_merge_params({"digest": digest_of(LARGE)}))
    await cut_off(replica, "PUT", target, rest[:sent_bytes])
    again = await replica.put(location, rest, digest_of(LARGE))
    assert again.status_code == 201, again.text
    assert await replica.pull(LARGE) == LARGE


@pytest.mark.parametrize("sent_bytes", [1000, PART + 1000])
async def test_a_whole_put_after_a_patch_that_was_cut(sent_bytes: int, replica: Replica) -> None:
    """A client that gives up a PATCH may still send all of it with a PUT to where it began."""
    location = await replica.begin()
    await cut_off(replica, "PATCH", location, LARGE[:sent_bytes])
    done = await replica.put(location, LARGE, digest_of(LARGE))
    assert done.status_code == 201, done.text
    assert await replica.pull(LARGE) == LARGE


async def test_uploads_do_not_begin_while_others_wait_for_memory_held_for_the_store(holding: Replica) -> None:
    """A POST can be repeated by every client, a body by few: so it is the POST that is turned away."""
    registry, budget = holding.registry, holding.registry.budget
    holding.plan("PutObject", "entries/", lambda: PASSING[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holding.push, SMALL)
        await come_true(lambda: registry.holds.calls > 0)
        assert (await holding.client.post(UPLOADS)).status_code == 202
        while budget.try_acquire(budget.account(), budget.usual_bytes):
            pass
        for _ in range(2):
            nursery.start_soon(budget.account().acquire, budget.usual_bytes)
        await come_true(lambda: budget.waiting > 0)
        assert_try_again(await holding.client.post(UPLOADS))
        nursery.cancel_scope.cancel()
