"""The proxy against a small server: what passes untouched, and each way to make a call fail."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
import trio.testing

from tests.proxy import Drop, Flip, Reply, Stall, StoreProxy
from tests.unit.s3.scripted import Reply as Served
from tests.unit.s3.scripted import ScriptedServer
from tests.unit.s3.scripted import Stall as Stalled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.proxy import Fault, Side

BODY = bytes(range(256)) * 4096
HALF = len(BODY) // 2
URL = "/bucket/data/x"


@asynccontextmanager
async def between(
    nursery: trio.Nursery, *faults: Fault | None, served: Served | None = None
) -> AsyncIterator[tuple[ScriptedServer, StoreProxy, httpx.AsyncClient]]:
    """Put a proxy that plays these faults, one for each request, before a server that answers `served`."""
    server = await ScriptedServer([served or Served(200, BODY)]).start(nursery)
    left = list(faults)
    proxy = StoreProxy("127.0.0.1", server.port, faults=lambda _: left.pop(0) if left else None)
    await proxy.start(nursery)
    async with httpx.AsyncClient(base_url=proxy.url) as client:
        yield server, proxy, client


class Whole(httpx.AsyncByteStream):
    """`BODY` as a request's. It is no generator: where a connection breaks, nobody would end it."""

    def __init__(self) -> None:
        self._left = [BODY]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    """Send content without saying how long it is."""
    for start in range(0, len(content), 99_999):
        yield content[start : start + 99_999]


async def receive(client: httpx.AsyncClient, received: bytearray) -> None:
    """Send `BODY`, and keep what comes even where it breaks off."""
    headers = {"Host": "store", "Content-Length": str(len(BODY))}
    request = httpx.Request("PUT", client.base_url.join(URL), headers=headers, stream=Whole())
    answer = await client.send(request, stream=True)
    try:
        async for piece in answer.aiter_raw():
            received += piece
    finally:
        await answer.aclose()


@pytest.mark.parametrize("chunked", [False, True])
async def test_requests_and_answers_pass_as_they_are(chunked: bool, nursery: trio.Nursery) -> None:  # noqa: FBT001
    """Target, Host, headers and bytes arrive as they were sent, many requests on one connection, however framed."""
    async with between(nursery, served=Served(200, BODY, {"etag": '"x"'}, chunked=chunked)) as (server, proxy, client):
        for _ in range(3):
            content = in_pieces(BODY) if chunked else BODY
            answer = await client.put(f"{URL}%2Fy?partNumber=1&uploadId=a", content=content, headers={"X-A": "b"})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, BODY, '"x"')
    assert server.connections == 1
    for seen in server.seen:
        assert (seen.method, seen.target, seen.body) == ("PUT", f"{URL}%2Fy?partNumber=1&uploadId=a", BODY)
        assert (seen.headers["host"], seen.headers["x-a"]) == (f"127.0.0.1:{proxy.port}", "b")
    assert proxy.counts == {"UploadPart": 3}
    assert [request.key for request in proxy.of("UploadPart")] == ["data/x/y"] * 3


async def test_an_answer_without_a_body_ends_with_its_head(nursery: trio.Nursery) -> None:
    """The length in the answer to a HEAD is not waited for."""
    async with between(nursery) as (server, _, client):
        for _ in range(2):
            assert (await client.head(URL)).headers["content-length"] == str(len(BODY))
    assert server.connections == 1


async def test_a_service_that_hung_up_is_connected_to_again(nursery: trio.Nursery) -> None:
    """A connection that the service closed between two requests costs the client nothing."""
    async with between(nursery, served=Served(200, BODY, {"connection": "close"})) as (server, _, client):
        for _ in range(2):
            assert (await client.get(URL)).content == BODY
    assert server.connections == 2


async def test_a_client_that_gives_up_ends_the_call(nursery: trio.Nursery) -> None:
    """The service learns that nobody waits for its answer any more."""
    server = await ScriptedServer([Stalled()]).start(nursery)
    proxy = await StoreProxy("127.0.0.1", server.port).start(nursery)
    async with httpx.AsyncClient(base_url=proxy.url) as client, trio.open_nursery() as calling:
        calling.start_soon(client.get, URL)
        while not server.seen:
            await trio.testing.wait_all_tasks_blocked()
        assert (server.closed, proxy.under_way["GetObject"]) == (0, 1)
        calling.cancel_scope.cancel()
    while not server.closed:
        await trio.testing.wait_all_tasks_blocked()
    assert proxy.under_way["GetObject"] == 0


@pytest.mark.parametrize("read_body", [True, False])
async def test_an_error_of_the_proxy_does_not_reach_the_service(
    read_body: bool,  # noqa: FBT001
    nursery: trio.Nursery,
) -> None:
    """The client gets status, code and headers; the next request passes."""
    reply = Reply(429, "SlowDown", {"Retry-After": "7"}, read_body=read_body)
    async with between(nursery, reply) as (server, _, client):
        answer = await client.put(URL, content=BODY)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert b"<Error><Code>SlowDown</Code></Error>" in answer.content
        assert server.seen == []
        assert (await client.put(URL, content=BODY)).content == BODY


async def test_an_error_may_follow_what_the_service_has_done(nursery: trio.Nursery) -> None:
    """The service does as it was asked, and the client reads of an error inside a success."""
    async with between(nursery, Reply(200, "InternalError", forward=True)) as (server, _, client):
        answer = await client.post(f"{URL}?uploadId=a", content=b"parts")
    assert answer.status_code == 200
    assert b"<Code>InternalError</Code>" in answer.content
    assert [seen.body for seen in server.seen] == [b"parts"]


@pytest.mark.parametrize(
    ("side", "after_bytes", "reached"),
    [
        ("request", None, []),
        ("request", HALF, []),
        ("answer", None, [BODY]),
        ("answer", 0, [BODY]),
        ("answer", HALF, [BODY]),
    ],
)
async def test_a_connection_ends_at_the_place_that_was_said(
    side: Side, after_bytes: int | None, reached: list[bytes], nursery: trio.Nursery
) -> None:
    """The service has the whole request or not, and the client has this much of the answer and no more."""
    received = bytearray()
    async with between(nursery, Drop(side, after_bytes)) as (server, _, client):
        with pytest.raises(httpx.TransportError):
            await receive(client, received)
        assert [seen.body for seen in server.seen] == reached
        assert (await client.put(URL, content=BODY)).content == BODY
    assert bytes(received) == (BODY[:after_bytes] if side == "answer" and after_bytes is not None else b"")


@pytest.mark.parametrize(
    ("side", "after_bytes", "seen"),
    [("request", None, 0), ("request", HALF, 0), ("answer", None, 1), ("answer", HALF, 1)],
)
async def test_a_stalled_call_goes_on_when_it_is_let(
    side: Side, after_bytes: int | None, seen: int, nursery: trio.Nursery
) -> None:
    """Until then the request or the answer stays where it is; then all of it arrives."""
    stall = Stall(side, after_bytes, until=trio.Event())
    answers = []
    async with between(nursery, stall) as (server, _, client):

        async def call() -> None:
            answers.append(await client.put(URL, content=BODY))

        async with trio.open_nursery() as calling:
            calling.start_soon(call)
            await stall.reached.wait()
            assert (len(server.seen), answers) == (seen, [])
            assert stall.until is not None
            stall.until.set()
    assert [answer.content for answer in answers] == [BODY]
    assert server.seen[0].body == BODY


@pytest.mark.parametrize("side", ["request", "answer"])
async def test_one_byte_arrives_as_another(side: Side, nursery: trio.Nursery) -> None:
    """All others arrive as they were sent."""
    damaged = BODY[:HALF] + bytes([BODY[HALF] ^ 0xFF]) + BODY[HALF + 1 :]
    async with between(nursery, Flip(side, HALF)) as (server, _, client):
        answer = await client.put(URL, content=BODY)
    assert server.seen[0].body == (damaged if side == "request" else BODY)
    assert answer.content == (damaged if side == "answer" else BODY)


async def test_while_it_hangs_nothing_passes(nursery: trio.Nursery) -> None:
    """A request that is sent meanwhile is not read, however long it is, and is answered after the release."""
    answers = []
    async with between(nursery) as (server, proxy, client):
        await client.get(URL)

        async def call() -> None:
            answers.append(await client.put(URL, content=BODY))

        async with trio.open_nursery() as calling:
            proxy.hang()
            calling.start_soon(call)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert (len(server.seen), len(proxy.seen), answers) == (1, 1, [])
            proxy.release()
    assert [answer.content for answer in answers] == [BODY]


async def test_each_call_waits_and_each_body_takes_its_time(nursery: trio.Nursery) -> None:
    """No call is faster than the delay, no body than the rate, in either direction."""
    server = await ScriptedServer([Served(200, BODY)]).start(nursery)
    proxy = await StoreProxy("127.0.0.1", server.port, delay_s=0.05, bytes_per_s=len(BODY) / 0.1).start(nursery)
    async with httpx.AsyncClient(base_url=proxy.url) as client:
        began = trio.current_time()
        await client.put(URL, content=BODY)
    assert trio.current_time() - began >= 0.05 + 2 * 0.09


async def test_calls_under_way_at_once_are_counted(nursery: trio.Nursery) -> None:
    """The most that there were, by operation."""
    stalls = [Stall("request", None, until=trio.Event()) for _ in range(3)]
    async with between(nursery, *stalls) as (_, proxy, client):
        async with trio.open_nursery() as calling:
            for _ in stalls:
                calling.start_soon(client.get, URL)
            for stall in stalls:
                await stall.reached.wait()
            for stall in stalls:
                assert stall.until is not None
                stall.until.set()
        await client.get(URL)
    assert (proxy.counts["GetObject"], proxy.most_at_once["GetObject"]) == (4, 3)
