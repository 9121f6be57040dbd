"""Answers as they are read, beside h11: the same head and body, wherever they are cut."""

from __future__ import annotations

import random
from contextlib import suppress

import h11
import pytest

from zotpy.http.client.answer_parser import LONGEST_HEAD_BYTES, AnswerParser
from zotpy.http.client.transport_errors import RemoteProtocolError

HEAD = b'HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nETag: "e" \r\nX-A: 1\r\nX-a: 2\r\n'
BODY = bytes(range(256)) * 20
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:1], BODY[1:4000], BODY[4000:]))
)
END = b"0\r\nX-Trailer: x\r\n\r\n"
NO_BODY = HEAD + b"Content-Length: 5120\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
Told = tuple[int, dict[str, str], bytes, bool]
"""Status, headers, body, and whether another request may follow."""


def cuts(stream: bytes, seed: int) -> list[bytes]:
    """Cut a stream into pieces at random places."""
    chosen = random.Random(seed)
    places = sorted(chosen.sample(range(1, len(stream)), min(len(stream) - 1, chosen.choice((0, 1, 3, 40)))))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


def told(method: str, pieces: list[bytes]) -> Told:
    """Read an answer as a connection does: a body of known length not through the parser. The stream ends with it."""
    parser = AnswerParser(method)
    left = [*pieces, b""]
    while not parser.has_head:
        parser.feed(left.pop(0))
    body = parser.take()
    while not parser.is_over:
        piece = left.pop(0)
        if piece and parser.left_bytes:
            taken = piece[: parser.left_bytes]
            parser.pass_over(len(taken))
            body += taken
        else:
            parser.feed(piece)
            body += parser.take()
    return parser.status, parser.headers, body, parser.stays_open and not parser.has_more


def told_by_h11(method: str, pieces: list[bytes]) -> Told:
    """Read the same with h11."""
    http = h11.Connection(h11.CLIENT, LONGEST_HEAD_BYTES)
    http.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    http.send(h11.EndOfMessage())
    left = [*pieces, b""]
    status, headers, body = 0, dict[str, str](), b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(left.pop(0))
        elif isinstance(event, h11.Response):
            status = event.status_code
            for name, value in event.headers:
                key, text = name.decode(), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, headers, body, http.their_state is h11.DONE and not any(http.trailing_data)


@pytest.mark.parametrize(
    ("method", "stream"),
    [
        ("GET", LENGTH),
        ("GET", CHUNKED + END),
        ("GET", HEAD + b"\r\n" + BODY),
        ("GET", HEAD + b"Content-Length: 0\r\n\r\n"),
        ("GET", HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0")),
        ("GET", INTERIM + LENGTH),
        ("GET", INTERIM + CHUNKED + END),
        ("GET", LENGTH.replace(b"200 OK", b"404 ")),
        ("HEAD", NO_BODY),
        ("HEAD", HEAD + b"\r\n"),
        ("HEAD", NO_BODY.replace(b"HTTP/1.1", b"HTTP/1.0")),
        ("HEAD", HEAD + b"Connection: close\r\n\r\n"),
        ("HEAD", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", NO_BODY.replace(b"200 OK", b"304 Not Modified")),
    ],
)
def test_answers_are_read_as_h11_reads_them(method: str, stream: bytes) -> None:
    """Status, headers, body, and whether the connection can be used again, wherever the stream is cut."""
    expected = told_by_h11(method, [stream])
    for seed in range(60):
        assert told(method, cuts(stream, seed)) == expected, seed


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x16\x03\x01",
        HEAD,
        HEAD + b"Content-Length: 3\r\n\r\nab",
        CHUNKED,
        CHUNKED + b"0\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: -3\r\n\r\nabc",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        HEAD + b"A : b\r\n\r\n",
        HEAD + b"A: b\0c\r\n\r\n",
        LENGTH.replace(b"200 OK", b"2000 OK"),
        LENGTH.replace(b"200 OK", b"099 OK"),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(stream: bytes) -> None:
    """h11 refuses it too, or it would wait for ever; nothing of it passes for an answer."""
    with suppress(h11.RemoteProtocolError, IndexError):
        status, _, _, _ = told_by_h11("GET", [stream])
        assert status == 101
    for seed in range(20 if len(stream) > 40 else 1):
        with pytest.raises(RemoteProtocolError):
            told("GET", cuts(stream, seed) if len(stream) > 40 else [stream])


@pytest.mark.parametrize(
    "stream",
    [
        LENGTH.replace(b"\r\n", b"\n"),
        LENGTH.replace(b"HTTP/1.1", b"HTTP/2.0"),
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        HEAD + b"A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_what_h11_mends_is_refused(stream: bytes) -> None:
    """LF alone, another version, two lengths, a length beside chunks, and a folded line: other readers differ."""
    assert told_by_h11("GET", [stream])[2]
    with pytest.raises(RemoteProtocolError):
        told("GET", [stream])


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", b"\0" * 100])
@pytest.mark.parametrize(
    ("method", "stream"),
    [("GET", LENGTH), ("GET", CHUNKED + END), ("HEAD", NO_BODY), ("DELETE", b"HTTP/1.1 204 X\r\n\r\n")],
)
def test_bytes_behind_an_answer_are_no_part_of_it(method: str, stream: bytes, more: bytes) -> None:
    """The answer stays as it is, and its connection is not used again."""
    expected = told_by_h11(method, [stream])
    parser = AnswerParser(method)
    parser.feed(stream + more)
    assert (parser.status, parser.headers, parser.take()) == expected[:3]
    assert parser.is_over
    assert parser.has_more


@pytest.mark.parametrize("stream", [HEAD, CHUNKED + b"0\r\n"])
def test_headers_without_an_end_are_refused(stream: bytes) -> None:
    """As much is kept as the longest head has, also of a trailer, and of a single line."""
    parser = AnswerParser("GET")
    parser.feed(stream)
    parser.take()

    def feed() -> None:
        for _ in range(2 * LONGEST_HEAD_BYTES // 1024):
            parser.feed(b"x" * 1024)

    parser.feed(b"X-Long: ")
    with pytest.raises(RemoteProtocolError, match=f"more than {LONGEST_HEAD_BYTES} bytes"):
        feed()
