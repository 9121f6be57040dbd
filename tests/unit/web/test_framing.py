"""Where a request ends, if a proxy in front could see another end."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from tests.unit.registry.support import until
from tests.unit.web.serving import REPO, UPLOADS, Replica, digest_of
from tests.unit.web.test_last_requests import all_of
from zotpy.http.http1 import MOST_AHEAD_BYTES
from zotpy.http.server.wire import Wire

CONTENT = b"a blob"
CHUNKED = b"6\r\na blob\r\n0\r\n\r\n"
PUSH = f"POST {UPLOADS}?digest={digest_of(CONTENT)}".encode()
NEXT = b"GET /v2/ HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
FRAMINGS = {
    "both": b" HTTP/1.1\r\nHost: replica\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both, turned round": b" HTTP/1.1\r\nHost: replica\r\nTransfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n",
    "chunks of HTTP/1.0": b" HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
async def test_a_body_whose_end_could_be_seen_in_two_places_is_refused(replica: Replica, framing: bytes) -> None:
    """The connection ends with the refusal, so that nothing behind it is taken for a request (RFC 9112, 6.1)."""
    stream = await replica.connect()
    async with stream:
        await stream.send_all(PUSH + framing + CHUNKED + NEXT)
        received = await all_of(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in head.lower()
    assert [error["code"] for error in json.loads(body)["errors"]] == ["UNSUPPORTED"]
    assert (await replica.client.head(f"/v2/{REPO}/blobs/{digest_of(CONTENT)}")).status_code == 404


async def test_little_is_read_behind_a_request_that_is_under_way(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client sends behind a request stays in the socket: it would be held outside the memory budget."""
    received: list[int] = []
    receive = Wire.receive

    async def counted(self: Wire, left_bytes: int | None, most_bytes: int) -> bytes | bytearray:
        data = await receive(self, left_bytes, most_bytes)
        received.append(len(data))
        return data

    digest = await replica.push_blob(CONTENT)
    parked = replica.script.park("before", "get", "entries/")
    monkeypatch.setattr(Wire, "receive", counted)
    head = f"GET /v2/{REPO}/blobs/{digest} HTTP/1.1\r\nHost: replica\r\n\r\n".encode()
    async with await replica.connect() as stream, trio.open_nursery() as sending:
        sending.start_soon(stream.send_all, head + b"\0" * 200_000)
        await parked.reached.wait()
        await until(lambda: sum(received) > len(head))
        await trio.testing.wait_all_tasks_blocked(0.1)  # any more would have come
        assert sum(received) <= MOST_AHEAD_BYTES
        parked.go_on.set()
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        sending.cancel_scope.cancel()
