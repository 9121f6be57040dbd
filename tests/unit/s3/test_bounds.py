"""What a store may make us read, hold and wait for is bounded, whatever it answers."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest
import trio

from tests.unit.s3.scripted import DATE, Endless, Reply, ScriptedServer
from zotpy.http.client.answer_parser import MOST_INTERIM_ANSWERS
from zotpy.http.client.connection import ClientConnection
from zotpy.http.client.link import LEAST_BYTES
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Refused, S3Unavailable
from zotpy.s3.messages import LONGEST_DOCUMENT_BYTES, LONGEST_ERROR_BYTES
from zotpy.store.interface import StoreError
from zotpy.store.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PIECE = bytes(64 * 1024)
SOCKET_BYTES = 16 * 2**20
"""More than the sockets of both sides hold."""
GET = Request("GetObject", "GET", "key")
LIST = Request("ListObjectsV2", "GET", None, (("list-type", "2"),))
HEAD = Request("HeadObject", "HEAD", "key")


@pytest.mark.parametrize("request_", [GET, LIST], ids=["object", "listing"])
async def test_an_answer_without_an_end_is_read_no_further_than_its_bound(
    request_: Request, nursery: trio.Nursery
) -> None:
    """It is refused at once, its connection is closed, and it is not asked for again."""
    server = await ScriptedServer([Endless(PIECE)]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match=f"longer than {LONGEST_DOCUMENT_BYTES} bytes"):
            await client.call(request_)
    await server.hung_up.wait()
    assert len(server.seen) == 1
    assert server.endless_bytes < LONGEST_DOCUMENT_BYTES + SOCKET_BYTES


async def test_an_object_is_read_up_to_the_longest_of_ours(nursery: trio.Nursery) -> None:
    """The bound of an object is another one than that of a document, and what is longer is a `StoreError`."""
    modified = {"last-modified": DATE, "etag": '"e"'}
    server = await ScriptedServer([Reply(200, bytes(5_000_000), modified), Reply(200, bytes(5_000_001))]).start(nursery)
    async with open_client(replace(server.config(), longest_object_bytes=5_000_000)) as client:
        store = S3Store(client)
        assert len((await store.get("key")).body) == 5_000_000
        with pytest.raises(StoreError, match="longer than 5000000 bytes"):
            await store.get("key")


async def test_an_error_without_an_end_is_an_error(nursery: trio.Nursery) -> None:
    """As much of it is read as an error has, also where the answer would be streamed, and however it is encoded."""
    server = await ScriptedServer([Endless(PIECE, 403)]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="403"):
            await client.call(LIST)
        with pytest.raises(S3Refused, match="403"):
            async with client.stream(GET):
                pass
    assert server.endless_bytes < 2 * (LONGEST_ERROR_BYTES + SOCKET_BYTES)


async def test_the_body_of_an_error_is_not_decoded(nursery: trio.Nursery) -> None:
    """An error that says it is compressed, and is not, is still the error of its status."""
    server = await ScriptedServer([Reply(403, b"no gzip", {"content-encoding": "gzip"})]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="403"):
            async with client.stream(GET):
                pass


async def test_interim_answers_are_bounded(nursery: trio.Nursery) -> None:
    """A few come before an answer; a store that sends no other is cut, and asked again."""
    server = await ScriptedServer(
        [Reply(200, b"some", interim=MOST_INTERIM_ANSWERS), Reply(200, interim=20_000)]
    ).start(nursery)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"some"
        with pytest.raises(S3Unavailable, match="no answer RemoteProtocolError"):
            await client.call(GET)
    assert len(server.seen) == 1 + server.config().retry.attempts


@pytest.mark.parametrize("first", [Reply(200, bytes(2 * LEAST_BYTES)), Reply(304), Reply(204)])
async def test_an_answer_without_a_body_leaves_nothing_to_wait_for(first: Reply, nursery: trio.Nursery) -> None:
    """The length in an answer to HEAD is no body's: the next answer is read as soon as its first byte is there."""
    server = await ScriptedServer([first, Reply(200, b"short")]).start(nursery)
    connection = ClientConnection(Service("127.0.0.1", server.port))
    await connection.send(Outgoing("HEAD" if first.body else "GET", "/", {"host": "store"}))
    assert await connection.receive() == b""
    assert connection.finish(trio.current_time())
    await connection.send(Outgoing("GET", "/", {"host": "store"}))
    assert await connection.receive() == b"short"
    assert connection._link is not None
    assert connection._link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    await connection.aclose()


async def test_a_length_that_does_not_come_is_not_waited_for(nursery: trio.Nursery) -> None:
    """An answer 304 may have the length of what it stands for (RFC 9110, 15.4.5)."""

    async def serve(stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        while http.next_event() is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some()))
        await stream.send_all(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9000000\r\n\r\n")

    connection = ClientConnection(Service("127.0.0.1", await _serve(serve, nursery)))
    answer = await connection.send(Outgoing("GET", "/", {"host": "store"}))
    assert (answer.left_bytes, await connection.receive()) == (0, b"")
    await connection.aclose()


async def test_bytes_after_an_answer_are_not_the_next_one(nursery: trio.Nursery) -> None:
    """A store that sends a body after the head of an answer to HEAD is called over another connection."""
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        request = bytes(await stream.receive_some())
        body = b"" if b"HEAD" in request else b"right"
        wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" if b"HEAD" in request else b""
        length = len(wrong or body)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + wrong + body)
        await stream.receive_some()

    endpoint = f"http://127.0.0.1:{await _serve(serve, nursery)}"
    config = replace(ScriptedServer([]).config(), endpoint=endpoint, max_connections=1, max_streams=1)
    async with open_client(config) as client:
        await client.call(HEAD)
        assert (await client.call(GET)).body == b"right"
    assert connections == 2


async def _serve(handle: Callable[[trio.SocketStream], Awaitable[None]], nursery: trio.Nursery) -> int:
    """Listen on a free port of the loopback interface."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, handle, [listener])
    port: int = listener.socket.getsockname()[1]
    return port
