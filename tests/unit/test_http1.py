"""h11 without its copies is h11: the same requests and bodies, wherever the bytes are cut."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import h11
import pytest

from zotpy.http import chunks, http1

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_BYTES = 1024
HEAD = b"PUT /v2/ HTTP/1.1\r\nHost: r\r\n"
PLAIN = HEAD + b"Content-Length: 10\r\n\r\n0123456789"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n"
STREAMS = {
    "known length": PLAIN,
    "no body": NEXT,
    "two requests": PLAIN + NEXT,
    "chunks": CHUNKED + b"3\r\nabc\r\n5\r\ndefgh\r\n00A\r\n0123456789\r\n0\r\n\r\n" + NEXT,
    "extension": CHUNKED + b"3;name=value\r\nabc\r\n4 \r\nwxyz\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"3\r\nabc\r\n0\r\nDigest: x\r\n\r\n" + NEXT,
    "line ends in the content": CHUNKED + b"6\r\n\r\n1\r\n\r\r\n0\r\n\r\n",
    "no size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "not a size": CHUNKED + b"3\r\nabc\r\n-1\r\na\r\n",
    "signed size": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "underscores": CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n",
    "more than the size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "less than the size": CHUNKED + b"5\r\nabc\r\n0\r\n\r\n",
    "bare line feed": CHUNKED + b"3\nabc\n0\n\n",
    "huge size": CHUNKED + b"fffffffffffffffff\r\nabc\r\n",
    "endless size": CHUNKED + b"0" * 4096,
    "cut off": CHUNKED + b"5\r\nabc",
    "garbage": b"\x16\x03\x01 no request at all\r\n\r\n",
}


def told(connection: h11.Connection, pieces: list[bytes]) -> Iterator[object]:
    """Yield what a connection makes of these pieces: heads, bodies joined, ends, and the error that ends it all."""
    body = bytearray()
    try:
        for piece in [*pieces, b""]:
            connection.receive_data(piece)
            while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Data):
                    body += event.data
                    continue
                yield bytes(body), event
                body.clear()
                if isinstance(event, h11.ConnectionClosed):
                    return
                if isinstance(event, h11.EndOfMessage):
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is h11.DONE:
                        connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        yield bytes(body), type(error), error.error_status_hint


def cuts(stream: bytes, seed: int) -> list[bytes]:
    """Cut a stream: not at all, after each byte, or at random places."""
    if seed == 0:
        return [stream]
    if seed == 1:
        return [bytes([byte]) for byte in stream]
    chosen = random.Random(seed)
    places = sorted(chosen.sample(range(1, len(stream)), min(len(stream) - 1, chosen.randint(1, 6))))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_where_bytes_are_cut_and_who_reads_them_does_not_matter(stream: bytes) -> None:
    """Requests, bodies, trailers and refusals are those of h11, however the stream comes."""
    for seed in range(60):
        pieces = cuts(stream, seed)
        expected = list(told(h11.Connection(h11.SERVER, LIMIT_BYTES), pieces))
        assert list(told(http1.Connection(h11.SERVER, LIMIT_BYTES), pieces)) == expected, (seed, pieces)
        assert expected


LAST = b"GET /v2/ HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"
OLD = b"POST /v2/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"
OLD_KEPT = b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
FOLLOWING = {
    "an empty line": b"\r\n",
    "half of one": b"\r",
    "many": b"\r\n" * 500,
    "another request": NEXT,
    "garbage": b"\x00\xff" * 4000,
}


@pytest.mark.parametrize("last", [LAST, OLD, OLD_KEPT], ids=["close", "1.0", "1.0 kept"])
@pytest.mark.parametrize("following", FOLLOWING.values(), ids=FOLLOWING.keys())
def test_what_follows_the_last_request_is_dropped(last: bytes, following: bytes) -> None:
    """Before and after the answer nothing of it is an event or an error, however it is cut (RFC 9112, section 9.6)."""
    for seed in range(10):
        pieces = cuts(last + following, seed)
        assert list(told(http1.Connection(h11.SERVER, LIMIT_BYTES), pieces)) == list(
            told(h11.Connection(h11.SERVER, LIMIT_BYTES), [last])
        ), (seed, pieces)


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_request_with_too_much_behind_it_is_the_last_one(surplus: int) -> None:
    """What is behind it is held until it is answered, so that is little; more is dropped, and the answer says so."""
    ahead = (NEXT * (http1.MOST_AHEAD_BYTES // len(NEXT) + 1))[: http1.MOST_AHEAD_BYTES + surplus]
    connection = http1.Connection(h11.SERVER, LIMIT_BYTES)
    connection.receive_data(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + ahead)
    while not isinstance(connection.next_event(), h11.EndOfMessage):
        pass
    connection.next_event()
    head = connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")])) or b""
    assert (b"Connection: close" in head) == bool(surplus)
    assert len(connection.trailing_data[0]) == (0 if surplus else len(ahead))


@pytest.mark.parametrize("empty", [b"\r\n", b"\n", b"\r\n\n\r\n", b"\r\n" * http1.MOST_EMPTY_LINES])
def test_empty_lines_before_a_request_are_ignored(empty: bytes) -> None:
    """Before the first and before the next one they change nothing, however they are cut (RFC 9112, section 2.2)."""
    expected = list(told(h11.Connection(h11.SERVER, LIMIT_BYTES), [NEXT + PLAIN]))
    for seed in range(60):
        pieces = cuts(empty + NEXT + empty + PLAIN + empty, seed)
        assert list(told(http1.Connection(h11.SERVER, LIMIT_BYTES), pieces)) == expected, (seed, pieces)


def test_empty_lines_without_end_are_no_request() -> None:
    """One more than are ignored is refused, at once or one after the other."""
    for seed in range(10):
        pieces = cuts(b"\r\n" * (http1.MOST_EMPTY_LINES + 1), seed)
        assert list(told(http1.Connection(h11.SERVER, LIMIT_BYTES), pieces)) == [(b"", h11.RemoteProtocolError, 400)]


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("where", ["head", "trailer"])
def test_a_head_has_its_limit_however_it_comes(where: str, over: int) -> None:
    """Up to the limit a head or a trailer is taken, one byte more is 431: as a whole, or in pieces."""
    before = b"" if where == "head" else CHUNKED + b"3\r\nabc\r\n0\r\n"
    lines = (HEAD if where == "head" else b"") + b"X: "
    stream = before + lines + b"a" * (LIMIT_BYTES - len(lines) - 4 + over) + b"\r\n\r\n"
    for seed in range(10):
        events = list(told(http1.Connection(h11.SERVER, LIMIT_BYTES), cuts(stream, seed)))
        is_refused = events[-1][1:] == (h11.RemoteProtocolError, 431)  # type: ignore[index]
        assert is_refused == bool(over), (seed, events)


def test_a_body_is_asked_for_once_and_only_if_its_client_waits() -> None:
    """`100 Continue` is ours to send: for a request that expects it, before the answer and before its body is there."""
    waiting = http1.Connection(h11.SERVER, LIMIT_BYTES)
    waiting.receive_data(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert isinstance(waiting.next_event(), h11.Request)
    assert not waiting.they_are_waiting_for_100_continue
    assert waiting.ask_for_body().startswith(b"HTTP/1.1 100 ")
    assert waiting.ask_for_body() == b""
    hasty = http1.Connection(h11.SERVER, LIMIT_BYTES)
    hasty.receive_data(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
    assert [type(hasty.next_event()) for _ in range(2)] == [h11.Request, h11.Data]
    assert hasty.ask_for_body() == b""


def test_a_piece_of_a_body_is_handed_on_as_it_came() -> None:
    """Neither the piece of a body of known length nor that of a long chunk is copied."""
    piece = bytes(100_000)
    connection = http1.Connection(h11.SERVER, LIMIT_BYTES)
    connection.receive_data(HEAD + b"Content-Length: 200000\r\n\r\n")
    assert isinstance(connection.next_event(), h11.Request)
    for _ in range(2):
        connection.receive_data(piece)
        event = connection.next_event()
        assert isinstance(event, h11.Data)
        assert event.data is piece
    assert isinstance(connection.next_event(), h11.EndOfMessage)


def test_the_chunks_of_one_piece_become_one_event() -> None:
    """A hundred chunks that come together are one event, and so is what is left of one that came in two pieces."""
    connection = http1.Connection(h11.SERVER, LIMIT_BYTES)
    connection.receive_data(CHUNKED)
    assert isinstance(connection.next_event(), h11.Request)
    connection.receive_data(b"a\r\n0123456789\r\n" * 100 + b"a\r\n01234")
    event = connection.next_event()
    assert isinstance(event, h11.Data)
    assert bytes(event.data) == b"0123456789" * 100 + b"01234"
    assert connection.next_event() is h11.NEED_DATA
    connection.receive_data(b"56789\r\na\r\n0123456789\r\n0\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Data)
    assert bytes(event.data) == b"567890123456789"
    assert isinstance(connection.next_event(), h11.EndOfMessage)


def chunks_of(size_bytes: int, count: int, extension: bytes = b"") -> bytes:
    """Write this many chunks of one length."""
    return (b"%x%b\r\n%b\r\n" % (size_bytes, extension, b"x" * size_bytes)) * count


def received(*pieces: bytes) -> int:
    """Receive a body in chunks, and return how long it was. Raises what h11 raises."""
    connection = http1.Connection(h11.SERVER, LIMIT_BYTES)
    connection.receive_data(CHUNKED)
    assert isinstance(connection.next_event(), h11.Request)
    length = 0
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not h11.NEED_DATA:
            assert isinstance(event, h11.Data)
            length += len(event.data)
    return length


@pytest.mark.parametrize("extension", [b"", b";name=value"])
@pytest.mark.parametrize("is_cut_anywhere", [False, True])
def test_a_body_of_thousands_of_tiny_chunks_is_refused(extension: bytes, is_cut_anywhere: bool) -> None:  # noqa: FBT001
    """Each chunk costs as much as kilobytes: no more are read than twice those that may be of any length."""
    tiny = chunks_of(1, 3 * chunks.MOST_SMALL_CHUNKS, extension)
    with pytest.raises(h11.RemoteProtocolError) as refused:
        received(*(cuts(tiny, 1) if is_cut_anywhere else [tiny]))
    assert refused.value.error_status_hint == 400
    assert int(str(refused.value).split()[0]) <= 2 * chunks.MOST_SMALL_CHUNKS


def test_some_chunks_may_be_tiny_and_many_short() -> None:
    """A manifest sent letter by letter is read, and so is an archive sent by 64 bytes."""
    few = chunks.MOST_SMALL_CHUNKS
    assert received(chunks_of(1, few)) == few
    assert received(chunks_of(chunks.LEAST_CHUNK_BYTES, 3 * few)) == 3 * few * chunks.LEAST_CHUNK_BYTES
    long = 1024 * few
    assert received(chunks_of(long, 1), chunks_of(1, 3 * few)) == long + 3 * few
