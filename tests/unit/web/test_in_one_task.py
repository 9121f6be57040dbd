"""Ordinary requests are answered by the task that reads their connection, and their clients are watched."""

from __future__ import annotations

import math
import ssl
from itertools import pairwise
from typing import TYPE_CHECKING
from unittest.mock import Mock, patch

import pytest
import trio
import trio.testing

from tests.unit.registry.support import until
from tests.unit.web.certificates import write_certificate
from tests.unit.web.raw import connect, noted_connections
from tests.unit.web.serving import ABSENT, REPO, UPLOADS, Replica, digest_of, serving
from zotpy.core.units import MIB
from zotpy.http.server import bodies, vigil
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.cuts import Cut
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hypercorn.typing import ASGIReceiveEvent

    from zotpy.http.server.bounded_request import BoundedRequest
    from zotpy.http.server.response import Response

DEADLINE_S = 60.0
HOST = "HTTP/1.1\r\nHost: replica\r\n\r\n"
READ = f"GET /v2/{REPO}/manifests/v1 {HOST}".encode()
CONTENT = b"a small blob"


class Spawned(trio.abc.Instrument):
    """Counts the tasks that are started."""

    count = 0
    is_counting = False

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Count one."""
        del task
        self.count += 1


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /v2/", 200),
        (f"GET /v2/{REPO}/manifests/v1", 200),
        (f"HEAD /v2/{REPO}/manifests/v1", 200),
        (f"GET /v2/{REPO}/blobs/{digest_of(CONTENT)}", 200),
        (f"HEAD /v2/{REPO}/blobs/{ABSENT}", 404),
        ("GET /nothing", 404),
    ],
)
async def test_an_ordinary_request_starts_no_task(replica: Replica, request_line: str, status: int) -> None:
    """Each task would cost some turns of the event loop."""
    await replica.push_image("v1")
    await replica.push_blob(CONTENT)
    client = await connect(replica)
    async with client.stream:
        spawned = Spawned()
        try:
            for _ in range(3):
                await client.stream.send_all(f"{request_line} {HOST}".encode())
                answer = bytes(await client.stream.receive_some(65536))
                assert answer.startswith(f"HTTP/1.1 {status} ".encode())
                if not spawned.is_counting:  # by the first answer, the connection has its tasks
                    trio.lowlevel.add_instrument(spawned)
                    spawned.is_counting = True
        finally:
            trio.lowlevel.remove_instrument(spawned)
        assert spawned.count == 0


@pytest.mark.parametrize(
    ("head", "body", "status", "most"),
    [
        ("GET /v2/", b"", 200, 1),
        (f"GET /v2/{REPO}/manifests/v1", b"", 200, 1),
        (f"HEAD /v2/{REPO}/blobs/{ABSENT}", b"", 404, 2),
        (f"POST {UPLOADS}", b"", 202, 0),
        (f"POST {UPLOADS}?digest={digest_of(CONTENT)}", CONTENT, 201, 2),
    ],
    ids=["ping", "manifest", "missing", "begin", "push"],
)
async def test_an_ordinary_request_opens_few_scopes(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, head: str, body: bytes, status: int, most: int
) -> None:
    """A read can be cancelled, and what relies on a record has a deadline. Each further scope would cost 5 us."""
    monkeypatch.setattr(vigil, "WATCH_AFTER_S", math.inf)  # a busy machine may take longer for any request
    await replica.push_image("v1")
    client = await connect(replica)
    request = f"{head} HTTP/1.1\r\nHost: replica\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    opened = 0
    enter = trio.CancelScope.__enter__

    def counted(scope: trio.CancelScope) -> trio.CancelScope:
        nonlocal opened
        opened += 1
        return enter(scope)

    async with client.stream:
        for _ in range(2):  # the first one also makes the tasks of the connection
            opened = 0
            with patch.object(trio.CancelScope, "__enter__", counted):
                await client.stream.send_all(request)
                answer = bytes(await client.stream.receive_some(65536))
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert opened <= most


async def test_a_bite_of_a_body_opens_no_scope_but_that_of_its_wait(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a client is slower than the replica, each MiB is waited for. The wait has a limit, so the body needs none."""
    bites = 12
    location = await replica.begin()
    assert (await replica.ended.receive()).method == "POST"
    head = f"PATCH {location} HTTP/1.1\r\nHost: replica\r\nContent-Length: {(bites + 1) * MIB}\r\n\r\n"
    pieces = 0
    take = BoundedBody.take

    def noting(body: BoundedBody, message: ASGIReceiveEvent) -> bytes:
        nonlocal pieces
        pieces += 1
        return take(body, message)

    opened = 0
    move_on_after = trio.move_on_after

    def counted(seconds: float) -> trio.CancelScope:
        nonlocal opened
        opened += 1
        return move_on_after(seconds)

    monkeypatch.setattr(BoundedBody, "take", noting)
    client = await connect(replica)
    async with client.stream:
        with trio.fail_after(DEADLINE_S):
            await client.stream.send_all(head.encode() + bytes(MIB))
            monkeypatch.setattr(bodies, "trio", Mock(wraps=trio, move_on_after=counted))
            for _ in range(bites):
                await client.stream.send_all(bytes(MIB))
                await trio.testing.wait_all_tasks_blocked()
            answer = bytes(await client.stream.receive_some(65536))
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert pieces > bites
    assert opened <= 2


@pytest.mark.parametrize("has_tls", [False, True])
async def test_a_read_ends_when_its_client_leaves(nursery: trio.Nursery, tmp_path: Path, *, has_tls: bool) -> None:
    """The store has not answered yet, and nobody waits for it any more."""
    config = ServerConfig()
    certificate, key = write_certificate(tmp_path)
    if has_tls:
        config.certfile, config.keyfile = str(certificate), str(key)
    async with serving(nursery, config=config) as replica:
        parked = replica.script.park("before", "get")
        with trio.fail_after(DEADLINE_S):
            stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
            if has_tls:
                context = ssl.create_default_context(cafile=str(certificate))
                stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", replica.port, ssl_context=context)
            else:
                stream = await replica.connect()
            await stream.send_all(READ)
            await parked.reached.wait()
            await stream.aclose()
            answered = await replica.ended.receive()
    assert (answered.method, answered.status, answered.cut) == ("GET", 0, Cut.GONE)


async def test_a_change_does_not_end_when_its_client_leaves(replica: Replica) -> None:
    """It goes on to its end, and the log says that nobody was told."""
    location = await replica.begin()
    assert (await replica.ended.receive()).method == "POST"
    parked = replica.script.park("before", "put")
    put = f"PUT {location}&digest={digest_of(b'')} HTTP/1.1\r\nHost: replica\r\nContent-Length: 0\r\n\r\n"
    with noted_connections() as connections, trio.fail_after(DEADLINE_S):
        client = await connect(replica)
        async with client.stream:
            await client.stream.send_all(put.encode())
            await parked.reached.wait()
        [connection] = connections
        await until(lambda: connection.has_ended)
        parked.go_on.set()
        answered = await replica.ended.receive()
    assert (answered.method, answered.status, answered.cut) == ("PUT", 201, Cut.GONE)


async def test_a_request_that_comes_while_another_takes_long_is_answered_after_it(replica: Replica) -> None:
    """The task that watches the client has read it."""
    await replica.push_image("v1")
    parked = replica.script.park("before", "get")
    with noted_connections() as connections, trio.fail_after(DEADLINE_S):
        stream = await replica.connect()
        async with stream:
            await stream.send_all(READ)
            await parked.reached.wait()
            await stream.send_all(f"GET /nothing {HOST}".encode())
            [connection] = connections
            await until(lambda: bool(connection.exchanges.ahead))
            parked.go_on.set()
            received = b""
            while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}"):
                received += await stream.receive_some(65536)
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404"]


async def test_ordinary_and_other_requests_come_in_any_order(replica: Replica) -> None:
    """Each is read by what can read it, and all are answered in their order."""
    post = f"POST {UPLOADS} HTTP/1.1\r\nHost: replica\r\nContent-Length: 0\r\n\r\n"
    chunked = (
        f"POST {UPLOADS}?digest={digest_of(CONTENT)} HTTP/1.1\r\nHost: replica\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(CONTENT):x}\r\n{CONTENT.decode()}\r\n0\r\n\r\n"
    )
    blob = f"HEAD /v2/{REPO}/blobs/{digest_of(CONTENT)} {HOST}"
    last = "HEAD /v2/ HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
    stream = await replica.connect()
    async with stream:
        await stream.send_all((post + chunked + blob + "\r\n" + post + blob + last).encode())
        with trio.fail_after(DEADLINE_S):
            received = b"".join([bytes(piece) async for piece in stream])
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"202", b"201", b"200", b"202", b"200", b"200"]


async def test_a_store_that_fails_before_the_first_byte_is_told_of(replica: Replica) -> None:
    """The head was held back, so the answer can still become an error; the connection goes on."""
    digest = await replica.push_blob(bytes(300_000))
    replica.script.fail("before", "read", "data/", StoreUnavailable("down"))
    for status in (429, 200):
        assert (await replica.client.get(f"/v2/{REPO}/blobs/{digest}")).status_code == status


async def test_a_connection_has_as_many_requests_as_it_may(nursery: trio.Nursery) -> None:
    """The last answer says so."""
    config = ServerConfig()
    config.keep_alive_max_requests = 3
    async with serving(nursery, config=config) as replica:
        stream = await replica.connect()
        async with stream:
            with trio.fail_after(DEADLINE_S):
                await stream.send_all(f"HEAD /v2/ {HOST}".encode() * 5)
                received = b"".join([bytes(piece) async for piece in stream])
    answers = received.split(b"HTTP/1.1 200 ")[1:]
    assert [b"connection: close" in answer for answer in answers] == [False, False, True]


async def test_others_get_a_turn_between_requests_that_came_together(replica: Replica) -> None:
    """Some hundred requests fit into one piece. If they were answered in one go, all others would wait for them."""
    most = 200
    clients = [await connect(replica), await connect(replica)]
    order: list[int] = []
    app = replica.config.application
    assert app is not None
    handle = app.handle_request

    async def noting(request: BoundedRequest) -> Response:
        order.append(int(request.args.get("client", "")))
        return await handle(request)

    with patch.object(app, "handle_request", noting), trio.fail_after(DEADLINE_S):
        for number, client in enumerate(clients):
            await client.stream.send_all(f"GET /?client={number} {HOST}".encode() * most)
        await until(lambda: len(order) == 2 * most)
    for client in clients:
        await client.stream.aclose()
    assert sum(before != after for before, after in pairwise(order)) >= most // 2
