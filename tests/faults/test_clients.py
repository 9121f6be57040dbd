"""Clients that stop in the middle of a body: told so where they still listen, and nothing of theirs stays behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h11
import httpx
import pytest
import trio

from tests.faults.serving import LARGE, PART, UPLOADS, Replica, serving
from tests.proxy import Stall
from tests.unit.web.serving import digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Bucket

SENT = PART + 100_000
"""Bytes of `LARGE` that come: more than one part."""
METHODS = ["POST", "PUT", "PATCH"]


@pytest.fixture
async def strict(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> AsyncIterator[Replica]:
    """Return a replica that waits two seconds for a client that sends nothing."""
    async with serving(nursery, bucket, prefix, body_idle_s=2.0) as opened:
        yield opened


async def send_some(replica: Replica, method: str) -> tuple[str, trio.SocketStream]:
    """Begin an upload, announce all of `LARGE`, send `SENT` bytes, and return the Location and the connection."""
    location = await replica.begin()
    target = httpx.URL(UPLOADS if method == "POST" else location)
    if method != "PATCH":
        target = target.copy_merge_params({"digest": digest_of(LARGE)})
    stream = await replica.connect()
    head = f"{method} {target.raw_path.decode()} HTTP/1.1\r\nHost: registry\r\nContent-Length: {len(LARGE)}\r\n\r\n"
    await stream.send_all(head.encode() + LARGE[:SENT])
    return location, stream


async def answer_on(stream: trio.SocketStream) -> tuple[int, list[str]]:
    """Read an answer; return its status and its error codes."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "registry")]))
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        if b'"errors"' in body and body.endswith(b"]}"):  # the end is held back until we have sent all
            break
    return status, [error["code"] for error in json.loads(body)["errors"]]


async def finish_after(replica: Replica, location: str) -> None:
    """See that the bytes that came are kept, and send the others."""
    status = await replica.client.get(location)
    assert status.headers["Range"] == f"0-{SENT - 1}"
    done = await replica.put(status.headers["Location"], LARGE[SENT:], digest_of(LARGE))
    assert done.status_code == 201, done.text
    assert await replica.pull(LARGE) == LARGE


async def assert_as_it_should_be(replica: Replica, method: str, location: str) -> None:
    """See that a PATCH keeps what came, in one multipart, that all else keeps nothing, and that no memory is held."""
    assert replica.is_idle()
    assert await replica.multiparts() == (1 if method == "PATCH" else 0)
    if method == "PATCH":
        await finish_after(replica, location)
    assert await replica.multiparts() == 0
    assert await replica.keys("uploads/") == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_client_that_stalls_is_told_so(method: str, strict: Replica) -> None:
    """408, while it may still be listening."""
    location, stream = await send_some(strict, method)
    async with stream:
        assert await answer_on(stream) == (408, ["BLOB_UPLOAD_INVALID"])
    await assert_as_it_should_be(strict, method, location)


@pytest.mark.parametrize("method", METHODS)
async def test_a_client_that_goes_away_leaves_nothing(method: str, replica: Replica) -> None:
    """The connection ends in the middle of a body."""
    location, stream = await send_some(replica, method)
    await stream.aclose()
    while (await replica.ended.receive()).received_bytes != SENT:
        pass
    await assert_as_it_should_be(replica, method, location)


@pytest.mark.parametrize("method", METHODS)
async def test_a_client_that_goes_away_while_the_store_is_slow_leaves_nothing(method: str, replica: Replica) -> None:
    """A part is on its way to the store, which takes it only after the client has left."""
    stall = Stall("request", PART // 2, until=trio.Event())
    replica.plan("UploadPart", "data/", lambda: stall, first=1)
    location, stream = await send_some(replica, method)
    await stall.reached.wait()
    await stream.aclose()
    assert stall.until is not None
    stall.until.set()
    while (await replica.ended.receive()).received_bytes != SENT:
        pass
    await assert_as_it_should_be(replica, method, location)


async def test_a_client_that_sends_nothing_of_a_manifest_is_told_so(strict: Replica) -> None:
    """A manifest is waited for no longer than a blob."""
    async with await strict.connect() as stream:
        head = "PUT /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: registry\r\nContent-Length: 1000\r\n"
        await stream.send_all(f"{head}Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n{{".encode())
        status, _ = await answer_on(stream)
    assert status == 408
    assert strict.is_idle()
