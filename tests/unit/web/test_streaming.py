"""Bodies over real sockets: read only as fast as they are used, kept up to a cut, refused so that it is heard."""

from __future__ import annotations

import socket
import struct

import h11
import pytest
import trio
import trio.testing

from tests.unit.web.raw import connect, pull_that_the_store_cuts
from tests.unit.web.serving import (
    ABSENT,
    BUDGET_BYTES,
    PART_BYTES,
    REPO,
    UPLOADS,
    Replica,
    codes_of,
    digest_of,
    ended,
    push_zeros,
)
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.units import KIB, MIB
from zotpy.http.server import sending
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import CHUNK_BYTES

TOTAL_BYTES = 64 * MIB
SOCKETS_BYTES = 16 * MIB
"""More than the kernel keeps of one connection over the loopback interface, both sides together."""


async def all_is_still() -> None:
    """Wait until neither a task nor the kernel has anything left to do."""
    await trio.testing.wait_all_tasks_blocked(0.05)


async def test_a_body_that_no_handler_reads_is_not_read_from_the_socket(replica: Replica) -> None:
    """While a handler does something else first, the client can send no more than the sockets' buffers hold."""
    location = (await replica.client.patch(await replica.begin(), content=b"x")).headers["Location"]
    parked = replica.script.park("before", "get", "uploads/")
    client = await connect(replica)
    async with client.stream, trio.open_nursery() as nursery:
        await client.begin("PATCH", location, TOTAL_BYTES)
        nursery.start_soon(client.send, TOTAL_BYTES)
        await parked.reached.wait()
        await all_is_still()
        assert client.sent_bytes <= SOCKETS_BYTES < TOTAL_BYTES
        assert replica.registry.budget.used_bytes == 0
        parked.go_on.set()
        status, _ = await client.receive()
    assert status == 202
    assert client.sent_bytes == TOTAL_BYTES
    assert replica.registry.budget.used_bytes == 0


async def test_a_body_that_the_store_does_not_take_is_not_read_from_the_socket(replica: Replica) -> None:
    """While the store takes no part, the client can send no more than the parts in flight and the buffers hold."""
    location = await replica.begin()
    in_flight = replica.registry.settings.upload.parts_in_flight
    parked = [replica.script.park("before", "put_part", "data/") for _ in range(in_flight)]
    client = await connect(replica)
    async with client.stream, trio.open_nursery() as nursery:
        await client.begin("PATCH", location, TOTAL_BYTES)
        nursery.start_soon(client.send, TOTAL_BYTES)
        await parked[-1].reached.wait()
        await all_is_still()
        assert client.sent_bytes <= SOCKETS_BYTES + (in_flight + 2) * PART_BYTES < TOTAL_BYTES
        assert replica.registry.budget.used_bytes <= (in_flight + 2) * PART_BYTES
        for step in parked:
            step.go_on.set()
        status, _ = await client.receive()
    assert status == 202
    assert client.sent_bytes == TOTAL_BYTES
    assert replica.registry.budget.used_bytes == 0


async def test_a_blob_that_the_client_does_not_read_is_not_read_from_the_store(replica: Replica) -> None:
    """While the client does not read, no more is read from the store than buffers and budget hold; then the rest."""
    digest = await push_zeros(replica, TOTAL_BYTES)
    parked = replica.script.park("before", "read", "data/")
    client = await connect(replica)
    async with client.stream:
        await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
        await parked.reached.wait()
        parked.go_on.set()
        await all_is_still()
        read_bytes = replica.script.begun["read"] * CHUNK_BYTES
        assert read_bytes <= SOCKETS_BYTES + BUDGET_BYTES < TOTAL_BYTES
        status, body = await client.receive()
    assert (status, len(body)) == (200, TOTAL_BYTES)
    assert digest_of(body) == digest
    assert await ended(replica, "GET") == 200
    assert replica.registry.budget.used_bytes == 0


async def test_a_client_that_goes_away_in_a_chunk_may_come_back(replica: Replica) -> None:
    """What came of a chunk before the connection was closed is safe, and the upload goes on from there."""
    location = await replica.begin()
    came = 2 * PART_BYTES + 1000
    client = await connect(replica)
    async with client.stream:
        await client.begin("PATCH", location, TOTAL_BYTES)
        await client.send(came)
    assert await ended(replica, "PATCH") == 408
    status = await replica.client.get(location)
    assert status.headers["Range"] == f"0-{came - 1}"
    done = await replica.client.put(
        f"{status.headers['Location']}&digest={digest_of(bytes(came) + b'rest')}", content=b"rest"
    )
    assert done.status_code == 201
    assert replica.registry.budget.used_bytes == 0


async def test_a_client_that_goes_away_in_a_blob_leaves_nothing(replica: Replica) -> None:
    """A blob sent in one request whose connection was closed in the middle leaves no part, no state and no memory."""
    client = await connect(replica)
    async with client.stream:
        await client.begin("POST", f"{UPLOADS}?digest={ABSENT}", TOTAL_BYTES)
        await client.send(3 * PART_BYTES)
    assert await ended(replica, "POST") == 408
    assert replica.store.multiparts == {}
    assert [key for key in replica.store.objects if not key.startswith("meta/")] == []
    assert replica.registry.budget.used_bytes == 0


async def test_a_client_that_goes_away_in_a_manifest_leaves_nothing(replica: Replica) -> None:
    """A manifest whose connection was closed in the middle is not pushed."""
    client = await connect(replica)
    async with client.stream:
        await client.begin("PUT", f"/v2/{REPO}/manifests/v1", 1000, Content_Type=OCI_IMAGE)
        await client.send(999)
    assert await ended(replica, "PUT") == 408
    assert [key for key in replica.store.objects if not key.startswith("meta/")] == []
    assert replica.registry.budget.used_bytes == 0


async def test_a_client_that_goes_away_in_a_download_frees_what_it_held(replica: Replica) -> None:
    """A download whose connection was closed gives its memory back."""
    digest = await push_zeros(replica, TOTAL_BYTES)
    parked = replica.script.park("after", "read", "data/")
    client = await connect(replica)
    async with client.stream:
        await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
        await parked.reached.wait()
        parked.go_on.set()
    await ended(replica, "GET")
    assert replica.registry.budget.used_bytes == 0
    assert (await replica.client.get("/v2/")).status_code == 200


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("PUT", f"/v2/{REPO}/manifests/v1", 413, "SIZE_INVALID"),
        ("POST", f"{UPLOADS}?digest=nonsense", 400, "DIGEST_INVALID"),
        ("PATCH", f"{UPLOADS}none?_state=none", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "/v2/nothing", 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/", 405, "UNSUPPORTED"),
    ],
)
@pytest.mark.parametrize("length", [TOTAL_BYTES, None])
async def test_the_answer_to_a_refused_body_arrives(
    replica: Replica, method: str, target: str, status: int, code: str, length: int | None
) -> None:
    """A client that is refused while it sends a large body reads why, and the connection is then closed."""
    headers = {"Content_Type": OCI_IMAGE} | ({} if length else {"Transfer_Encoding": "chunked"})
    client = await connect(replica)
    async with client.stream, trio.open_nursery() as nursery:
        await client.begin(method, target, length, **headers)
        nursery.start_soon(client.send_until_refused, TOTAL_BYTES)
        answered, body = await client.receive()
        nursery.cancel_scope.cancel()
    assert answered == status
    assert f'"code": "{code}"'.encode() in body
    assert client.http.their_state is h11.MUST_CLOSE
    assert replica.registry.budget.used_bytes == 0


async def test_a_client_that_is_gone_when_its_body_is_refused_ends(replica: Replica) -> None:
    """The answer finds nobody, and what came of the body is still there: neither holds up the end of the request."""
    location = (await replica.client.patch(await replica.begin(), content=b"x")).headers["Location"]
    assert await ended(replica, "PATCH") == 202
    parked = replica.script.park("before", "get", "uploads/")
    client = await connect(replica)
    with trio.fail_after(60):
        await client.begin("PATCH", location, TOTAL_BYTES, Content_Range=f"7-{TOTAL_BYTES + 6}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, TOTAL_BYTES)
            await parked.reached.wait()
            await all_is_still()
            nursery.cancel_scope.cancel()
        assert isinstance(client.stream, trio.SocketStream)
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await client.stream.aclose()
        parked.go_on.set()
        assert await ended(replica, "PATCH") == 416


async def test_a_client_that_never_stops_sending_ends(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sends beyond the time in which it is dropped holds up neither the end of its request nor a drain."""
    monkeypatch.setattr(sending, "LINGER_S", 0.0)
    client = await connect(replica)
    with trio.fail_after(60):
        async with client.stream, trio.open_nursery() as nursery:
            await client.begin("POST", f"{UPLOADS}?digest=none", TOTAL_BYTES)
            nursery.start_soon(client.send_until_refused, TOTAL_BYTES)
            assert await ended(replica, "POST") == 400
            nursery.cancel_scope.cancel()


async def test_a_connection_goes_on_after_a_body_was_read_and_refused(replica: Replica) -> None:
    """A body that was received whole before it was refused costs the client no connection."""
    client = await connect(replica)
    async with client.stream:
        for _ in range(3):
            await client.begin("PUT", f"/v2/{REPO}/manifests/v1", KIB, Content_Type=OCI_IMAGE)
            await client.send(KIB)
            client.http.send(h11.EndOfMessage())
            status, body = await client.receive()
            assert status == 400
            assert b"MANIFEST_INVALID" in body
            client.http.start_next_cycle()


async def test_a_client_that_asks_before_it_sends_is_told_to(replica: Replica) -> None:
    """`Expect: 100-continue` is answered as soon as the body is wanted."""
    content = bytes(1000)
    client = await connect(replica)
    async with client.stream:
        target = f"{UPLOADS}?digest={digest_of(content)}"
        await client.begin("POST", target, len(content), Expect="100-continue")
        while (event := client.http.next_event()) is h11.NEED_DATA:
            client.http.receive_data(bytes(await client.stream.receive_some(KIB)))
        assert isinstance(event, h11.InformationalResponse)
        assert event.status_code == 100
        await client.send(len(content))
        status, _ = await client.receive()
    assert status == 201


async def test_a_store_that_fails_in_the_middle_of_a_body_is_told_of(replica: Replica) -> None:
    """Where a part cannot be sent the client reads so, though it has not sent everything."""
    replica.script.fail("before", "put_part", "data/", StoreUnavailable("down"))
    client = await connect(replica)
    async with client.stream, trio.open_nursery() as nursery:
        await client.begin("PATCH", await replica.begin(), TOTAL_BYTES)
        nursery.start_soon(client.send_until_refused, TOTAL_BYTES)
        status, body = await client.receive()
        nursery.cancel_scope.cancel()
    assert status == 429
    assert b"TOOMANYREQUESTS" in body
    assert replica.store.multiparts == {}
    assert replica.registry.budget.used_bytes == 0


async def test_a_store_that_fails_in_the_middle_of_a_download_cuts_it(replica: Replica) -> None:
    """A download that the store cuts is cut for the client too, never ended as if it were whole."""
    await pull_that_the_store_cuts(replica)
    await ended(replica, "GET")
    assert replica.registry.budget.used_bytes == 0
    assert codes_of(await replica.client.get(f"/v2/{REPO}/blobs/{ABSENT}")) == ["BLOB_UNKNOWN"]


async def test_every_request_is_told_of(replica: Replica) -> None:
    """The report of a request has its route, its status and the bytes of both bodies."""
    content = bytes(1000)
    digest = await replica.push_blob(content)
    told = await replica.ended.receive()
    assert (told.method, told.route, told.status) == ("POST", "/v2/<path:name>/blobs/uploads/", 201)
    assert (told.received_bytes, told.sent_bytes) == (1000, 0)
    await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
    told = await replica.ended.receive()
    assert (told.method, told.route, told.status) == ("GET", "/v2/<path:name>/blobs/<digest>", 200)
    assert (told.received_bytes, told.sent_bytes) == (0, 1000)
    await replica.client.get("/v2/nothing")
    told = await replica.ended.receive()
    assert (told.route, told.status) == ("none", 404)
