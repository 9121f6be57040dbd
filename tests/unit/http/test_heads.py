"""What reads ordinary heads reads them as h11 does, and what writes heads of answers writes what h11 would."""

from __future__ import annotations

import random

import h11
import pytest
from h11._readers import ContentLengthReader

from zotpy.http.http1 import Connection
from zotpy.http.server.answer_heads import AnswerHeads, HeadInvalid
from zotpy.http.server.fields import Fields
from zotpy.http.server.heads import Head, read_head
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.response import Response

LIMIT_BYTES = 1024
ORDINARY = {
    "bare": b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n",
    "long": b"HEAD /v2/a/b/blobs/sha256:00?n=1&x=%20 HTTP/1.1\r\nHost: r:1\r\nUser-Agent: docker/29 (a; b)\r\n"
    b"Accept: a/b\r\nAccept: c/d, */*\r\nAuthorization: Basic YTpi\r\nX-Empty:\r\nX-Spaces: \t a \t b \t\r\n\r\n",
    "no body": b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: r\r\ncontent-length: 0\r\nConnection: Keep-Alive\r\n\r\n",
    "other bytes": b"GET /v2/ HTTP/1.1\r\nHost: r\r\nX: \xe4\xff\r\n\r\n",
    "length": b"PUT /v2/ HTTP/1.1\r\nHost: r\r\nContent-Length: 010\r\n\r\n0123456789GET /",
    "chunks": b"PATCH /v2/ HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /",
    "two": b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\nGET /x HTTP/1.1\r\nHost: r\r\n\r\n",
    "garbage behind": b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n\x00\xff",
}
HOST = b"GET /v2/ HTTP/1.1\r\nHost: r\r\n"
PUSH = b"PUT /v2/ HTTP/1.1\r\nHost: r\r\n"
OTHERS = {
    "nothing": b"",
    "incomplete": HOST,
    "no host": b"GET /v2/ HTTP/1.1\r\nX: r\r\n\r\n",
    "no headers": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "two hosts": HOST + b"Host: s\r\n\r\n",
    "line feeds": b"GET /v2/ HTTP/1.1\nHost: r\n\n",
    "one line feed": b"GET /v2/ HTTP/1.1\r\nHost: r\nX: y\r\n\r\n",
    "a line feed at the end": HOST + b"X: y\r\n\n",
    "a carriage return": HOST + b"X: y\rZ: w\r\n\r\n",
    "folded": HOST + b"X: y\r\n z\r\n\r\n",
    "folded at once": b"GET /v2/ HTTP/1.1\r\n Host: r\r\n\r\n",
    "space before the colon": HOST + b"X : y\r\n\r\n",
    "no colon": HOST + b"X\r\n\r\n",
    "no name": HOST + b": y\r\n\r\n",
    "zero byte": HOST + b"X: a\x00b\r\n\r\n",
    "empty line before": b"\r\n" + HOST + b"\r\n",
    "body of a read": HOST + b"Content-Length: 1\r\n\r\na",
    "chunks of a read": HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": PUSH + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "two different lengths": PUSH + b"Content-Length: 0\r\nContent-Length: 1\r\n\r\na",
    "list of lengths": PUSH + b"Content-Length: 0, 0\r\n\r\n",
    "signed length": PUSH + b"Content-Length: +0\r\n\r\n",
    "long length": PUSH + b"Content-Length: 1111111111111111111\r\n\r\n",
    "digits of others": PUSH + b"Content-Length: \xb2\r\n\r\n",
    "two codings": PUSH + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "list of codings": PUSH + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "both": PUSH + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": PUSH + b"Transfer-Encoding: gzip\r\n\r\n",
    "expectation": PUSH + b"Expect: 100-continue\r\n\r\n",
    "upgrade": HOST + b"Upgrade: h2c\r\n\r\n",
    "close": HOST + b"Connection: close\r\n\r\n",
    "more for the connection": HOST + b"Connection: keep-alive, x\r\n\r\n",
    "two connections": HOST + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
    "1.0": b"GET /v2/ HTTP/1.0\r\nHost: r\r\n\r\n",
    "2.0": b"GET /v2/ HTTP/2.0\r\nHost: r\r\n\r\n",
    "1.10": b"GET /v2/ HTTP/1.10\r\nHost: r\r\n\r\n",
    "small letters": b"get /v2/ HTTP/1.1\r\nHost: r\r\n\r\n",
    "whole URL": b"GET http://h/v2/ HTTP/1.1\r\nHost: r\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n",
    "fragment": b"GET /v2/#a HTTP/1.1\r\nHost: r\r\n\r\n",
    "two spaces": b"GET  /v2/ HTTP/1.1\r\nHost: r\r\n\r\n",
    "space in the target": b"GET /v2 / HTTP/1.1\r\nHost: r\r\n\r\n",
    "tab": b"GET\t/v2/ HTTP/1.1\r\nHost: r\r\n\r\n",
    "beyond ASCII": b"GET /v2/\xe4 HTTP/1.1\r\nHost: r\r\n\r\n",
    "too long": HOST + b"X: " + b"a" * LIMIT_BYTES + b"\r\n\r\n",
}
PIECES = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b"\x7f", b"#", b"0", b",", b""),
    *(b"Host: s\r\n", b"Content-Length: 0\r\n", b"Content-Length: 1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
)


def by_h11(received: bytes) -> tuple[h11.Request, int | None, bytes]:
    """Read a head, and return it with the length of its body and what is behind it. Anything else fails."""
    connection = Connection(h11.SERVER, LIMIT_BYTES)
    connection.receive_data(received)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert not connection.client_is_waiting_for_100_continue
    behind, reader = connection.trailing_data[0], connection._reader
    if connection.their_state is h11.SEND_BODY:
        length = reader._remaining if isinstance(reader, ContentLengthReader) else None
        return request, length, behind
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.their_state is h11.DONE, "the connection would end after it"
    return request, 0, behind


def assert_alike(received: bytes, head: Head) -> None:
    """Compare what was read with what h11 reads."""
    request, length, behind = by_h11(received)
    assert head.length == length
    assert head.method.encode() == request.method
    assert head.target.encode() == request.target
    assert request.http_version == b"1.1"
    assert received[head.end :] == behind
    expected = Fields.decode(list(request.headers))
    names = {name.decode() for name, _ in request.headers}
    for name in names - {"transfer-encoding"}:  # h11 writes it in small letters
        assert head.fields.getlist(name) == expected.getlist(name)
    assert sum(len(head.fields.getlist(name)) for name in names) == len(list(request.headers))


@pytest.mark.parametrize("received", ORDINARY.values(), ids=ORDINARY.keys())
def test_an_ordinary_head_is_read_as_h11_reads_it(received: bytes) -> None:
    """The method, the target, each header, and where the next request begins."""
    head = read_head(received, LIMIT_BYTES)
    assert head is not None
    assert_alike(received, head)


@pytest.mark.parametrize("received", OTHERS.values(), ids=OTHERS.keys())
def test_any_other_head_is_left_to_h11(received: bytes) -> None:
    """So what a proxy in front could see in another way is refused as before."""
    assert read_head(received, LIMIT_BYTES) is None


@pytest.mark.parametrize("seed", range(40))
def test_what_is_read_of_spoilt_heads_is_what_h11_reads(seed: int) -> None:
    """Bytes are put in, taken out and changed anywhere: what is still read here, h11 reads alike."""
    chance, read = random.Random(seed), 0
    for _ in range(200):
        received = bytearray(chance.choice(list(ORDINARY.values())))
        for _ in range(chance.randint(1, 2)):
            place = chance.randrange(len(received) + 1)
            received[place : place + chance.randint(0, 2)] = chance.choice(
                [*PIECES, b"", bytes([chance.randrange(256)])]
            )
        if (head := read_head(bytes(received), LIMIT_BYTES)) is not None:
            assert_alike(bytes(received), head)
            read += 1
    assert read, "no head was left"


def test_a_head_of_an_answer_is_that_of_h11() -> None:
    """Names in small letters, in their order, then those of the server."""
    config = ServerConfig()
    config.include_server_header = config.include_date_header = False
    named = {"Docker-Distribution-API-Version": "registry/2.0", "Content-Type": "application/json"}
    response = Response(b"{}", 200, named | {"Content-Length": "2"})
    server = h11.Connection(h11.SERVER)
    server.receive_data(ORDINARY["bare"])
    server.next_event()
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    expected = server.send(h11.Response(status_code=200, headers=headers))
    assert AnswerHeads(config).write(response, is_last=False) == expected
    assert AnswerHeads(config).write(response, is_last=True) == (expected or b"")[:-2] + b"connection: close\r\n\r\n"


def test_every_answer_has_a_date() -> None:
    """It is that of this second."""
    head = AnswerHeads(ServerConfig()).write(Response(b"", 204, {}), is_last=False)
    assert head.count(b"\r\ndate: ") == 1
    assert head.endswith(b" GMT\r\nserver: hypercorn-h11\r\n\r\n")


@pytest.mark.parametrize(("name", "value"), [("X", "a\x00b"), ("X y", "a"), ("X", "a\x7f")])
def test_what_is_no_header_is_not_sent(name: str, value: str) -> None:
    """A header that would end early, or begin another one, never leaves."""
    response = Response(b"", 200, {})
    response.headers[name] = value
    with pytest.raises(HeadInvalid):
        AnswerHeads(ServerConfig()).write(response, is_last=False)
