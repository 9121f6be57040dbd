"""Calls of the client against a server that fails on purpose."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import crc32c
import pytest
import trio
import trio.testing

from tests.unit.s3.scripted import READ_TIMEOUT_S, Drop, Reply, ScriptedServer, Stall
from tests.unit.still_clock import STILL_S
from zotpy.core.pieces import Pieces
from zotpy.s3.client import HASHED_BODY_BYTES, AmbiguousRefusal, Request, open_client
from zotpy.s3.errors import S3Refused, S3Unavailable
from zotpy.s3.wire import signing

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.unit.s3.scripted import Act

GET = Request("GetObject", "GET", "tags/a!/b")
SLOW_DOWN = Reply(503, b"<Error><Code>SlowDown</Code></Error>")
BAD_DIGEST = Reply(400, b"<Error><Code>BadDigest</Code></Error>")
LONG = bytes(range(256)) * 10_000


@pytest.mark.parametrize(
    "first",
    [
        SLOW_DOWN,
        Reply(500, b"<Error><Code>InternalError</Code></Error>"),
        Reply(502, b"<html>a proxy</html>"),
        Reply(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
        Reply(400, b"<Error><Code>RequestTimeout</Code></Error>"),
        Reply(429),
        Drop(),
        Reply(200, b"the whole answer", cut_to=3),
    ],
    ids=lambda act: f"{type(act).__name__}-{getattr(act, 'status', '')}",
)
async def test_what_may_pass_is_sent_again(first: Act, nursery: trio.Nursery) -> None:
    """After a failure of the moment, the second attempt's answer is the call's."""
    server = await ScriptedServer([first, Reply(200, b"the whole answer")]).start(nursery)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"the whole answer"
    assert len(server.seen) == 2


async def test_a_store_that_never_answers_is_asked_again(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """An attempt is over when the store is silent for longer than the read timeout."""
    del mock_clock
    server = await ScriptedServer([Stall(), Reply(200, b"late")]).start(nursery)
    nursery.start_soon(server.when_silent, 1, READ_TIMEOUT_S)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"late"


async def test_each_silence_of_an_answer_is_measured_anew(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """An answer may take nearly the read timeout before each of its pieces."""
    pieces = [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 6\r\n\r\n", b"slo", b"wly"]

    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for piece in pieces:
            await trio.testing.wait_all_tasks_blocked(STILL_S)
            mock_clock.jump(0.9 * READ_TIMEOUT_S)
            await stream.send_all(piece)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, drip, [listener])
    config = ScriptedServer([], listener.socket.getsockname()[1]).config(deadline_s=10 * READ_TIMEOUT_S)
    async with open_client(config) as client:
        assert (await client.call(GET)).body == b"slowly"


async def test_silence_after_a_part_of_an_answer_ends_the_attempt(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """A store that stops in the middle of an answer is asked again when it was silent for the read timeout."""
    server = await ScriptedServer([Reply(200, b"slowly", gate=trio.Event(), gate_at=3), Reply(200, b"again")]).start(
        nursery
    )

    async def be_silent() -> None:
        await server.when_silent(1, 0.5 * READ_TIMEOUT_S)
        await trio.testing.wait_all_tasks_blocked(STILL_S)
        mock_clock.jump(READ_TIMEOUT_S)

    nursery.start_soon(be_silent)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"again"


async def test_a_call_ends_with_its_last_attempt(nursery: trio.Nursery) -> None:
    """When every attempt fails, the error names the operation and the last failure."""
    server = await ScriptedServer([SLOW_DOWN]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Unavailable, match=r"GetObject: .* 503 SlowDown"):
            await client.call(GET)
    assert len(server.seen) == server.config().retry.attempts


async def test_a_call_ends_at_its_deadline(nursery: trio.Nursery) -> None:
    """However patient the read timeout is, a call takes no longer than its deadline."""
    server = await ScriptedServer([Stall()]).start(nursery)
    async with open_client(server.config(deadline_s=0.3)) as client:
        with pytest.raises(S3Unavailable, match=r"no success within 0\.3 s"):
            await client.call(GET)


async def test_a_refusal_is_not_sent_again(nursery: trio.Nursery) -> None:
    """What sending again cannot cure is raised at once, with S3's code."""
    server = await ScriptedServer([Reply(403, b"<Error><Code>AccessDenied</Code></Error>")]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused) as caught:
            await client.call(GET)
    assert (caught.value.status, caught.value.code, len(server.seen)) == (403, "AccessDenied", 1)
    assert not isinstance(caught.value, AmbiguousRefusal)


async def test_a_refusal_after_a_lost_answer_is_ambiguous(nursery: trio.Nursery) -> None:
    """A refusal may come of an earlier attempt of the same call that had succeeded, and says so."""
    refusal = Reply(412, b"<Error><Code>PreconditionFailed</Code></Error>")
    server = await ScriptedServer([Drop(), refusal]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(AmbiguousRefusal):
            await client.call(Request("PutObject", "PUT", "a", body=b"x"))


async def test_damaged_bytes_are_sent_again_until_attempts_run_out(nursery: trio.Nursery) -> None:
    """A checksum that does not hold is tried anew from the buffer, which has the right bytes: it may hold later."""
    server = await ScriptedServer([BAD_DIGEST]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Unavailable, match="BadDigest"):
            await client.call(Request("PutObject", "PUT", "a", body=b"x", checksum=True))
    assert len(server.seen) == server.config().retry.attempts


@pytest.mark.parametrize("body", [LONG, bytearray(LONG), Pieces(LONG)], ids=["bytes", "bytearray", "pieces"])
async def test_a_long_body_arrives_whole_at_each_attempt(
    body: bytes | bytearray | Pieces, nursery: trio.Nursery
) -> None:
    """A body longer than a slice is sent from its buffer with its length and CRC, and again in the same way."""
    server = await ScriptedServer([Drop(), Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        answer = await client.call(Request("UploadPart", "PUT", "a", (("partNumber", "1"),), body=body, checksum=True))
    crc = base64.b64encode(crc32c.crc32c(LONG).to_bytes(4, "big")).decode()
    assert answer.crc32c == crc
    for seen in server.seen:
        assert seen.body == LONG
        assert seen.headers["content-length"] == str(len(LONG))
        assert seen.headers["x-amz-checksum-crc32c"] == crc
        assert seen.headers["x-amz-content-sha256"] == signing.UNSIGNED


async def test_a_short_body_is_signed(nursery: trio.Nursery) -> None:
    """Up to the limit, the signature covers the body itself."""
    body = b"x" * HASHED_BODY_BYTES
    server = await ScriptedServer([Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        await client.call(Request("PutObject", "PUT", "a", body=body))
    assert server.seen[0].headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("entries/a/b!/blobs/sha256/00", "/bucket/entries/a/b%21/blobs/sha256/00"),
        ("tags/a!/v1.0_x-y~z", "/bucket/tags/a%21/v1.0_x-y~z"),
        ("a b/c%2Fd+e?f#g", "/bucket/a%20b/c%252Fd%2Be%3Ff%23g"),
        ("é", "/bucket/%C3%A9"),
        ("a/./b//c/../d", "/bucket/a/./b//c/../d"),
    ],
)
async def test_keys_are_percent_encoded_as_they_are_signed(key: str, target: str, nursery: trio.Nursery) -> None:
    """The path on the wire is the one that was signed."""
    server = await ScriptedServer([Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        await client.call(Request("GetObject", "GET", key))
    assert server.seen[0].target == target


async def test_queries_are_sent_as_they_are_signed(nursery: trio.Nursery) -> None:
    """A query goes out in canonical order and encoding."""
    server = await ScriptedServer([Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        await client.call(Request("ListObjectsV2", "GET", None, (("prefix", "a/b!/ +"), ("list-type", "2"))))
    assert server.seen[0].target == "/bucket?list-type=2&prefix=a%2Fb%21%2F%20%2B"


async def test_a_connection_is_used_again(nursery: trio.Nursery) -> None:
    """Calls one after another share one connection."""
    server = await ScriptedServer([Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        for _ in range(3):
            await client.call(GET)
    assert server.connections == 1


async def test_a_call_and_a_stream_share_no_connection(nursery: trio.Nursery) -> None:
    """A stream may last. Its bytes come as they are asked for, and a refusal is raised when it begins."""
    server = await ScriptedServer([Reply(200, b"called"), SLOW_DOWN, Reply(200, LONG)]).start(nursery)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"called"
        with pytest.raises(S3Unavailable):
            async with client.stream(GET):
                pass
        received = b""
        async with client.stream(GET) as response:
            while piece := await response.receive():
                received += piece
    assert received == LONG
    assert server.connections == 2


@pytest.mark.parametrize("value", ['"a"\r\nx-evil: 1', '"a"\n', "\0", "\u20ac"])
async def test_a_header_that_cannot_be_written_is_not_sent(value: str, nursery: trio.Nursery) -> None:
    """A value that would end its line is an error, and the store sees no request."""
    server = await ScriptedServer([Reply()]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Unavailable, match="LocalProtocolError"):
            await client.call(Request("PutObject", "PUT", "a", (), {"if-match": value}, b"x"))
    assert server.seen == []
