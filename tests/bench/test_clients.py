"""The load generator: what it sends is what it says, and it takes no answer that is not as it must be."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from bench.clients.blobs import pull_blob, push_blob, verify_blob
from bench.clients.connection import Connection, Refused
from bench.clients.content import CHUNK_BYTES, PIECE_BYTES, Content
from bench.clients.pool import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = [0, 1, 31, 32, 33, CHUNK_BYTES, CHUNK_BYTES + 1, PIECE_BYTES, PIECE_BYTES + 5]


def joined(content: Content) -> bytes:
    """Return all bytes of a content."""
    return b"".join(bytes(buffer) for buffers in content.pieces() for buffer in buffers)


@contextmanager
def answering(raw: bytes) -> Iterator[int]:
    """Answer every request with these bytes and close the connection; give the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(raw)
            self.close_connection = True

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", SIZES)
def test_a_content_has_its_size_and_digest(size: int) -> None:
    """The pieces add up to the size, and the digest is theirs."""
    content = Content("seed", size)
    assert len(joined(content)) == size
    assert content.digest == f"sha256:{hashlib.sha256(joined(content)).hexdigest()}"


@pytest.mark.parametrize("size", SIZES)
def test_chunks_carry_the_same_bytes(size: int) -> None:
    """Taken apart again, the chunked body is the content, in chunks of the size of Go's."""
    content = Content("seed", size)
    rest = b"".join(bytes(buffer) for buffers in content.chunked_pieces() for buffer in buffers)
    chunks = []
    while True:
        length, _, rest = rest.partition(b"\r\n")
        chunk, end, rest = rest[: int(length, 16)], rest[int(length, 16) :][:2], rest[int(length, 16) + 2 :]
        assert end == b"\r\n"
        if not chunk:
            break
        chunks.append(chunk)
    assert rest == b""
    assert b"".join(chunks) == joined(content)
    assert [len(chunk) for chunk in chunks[:-1] if len(chunk) != CHUNK_BYTES] == []


def test_contents_share_no_piece() -> None:
    """Neither two blobs nor two pieces of one blob are alike, so nothing can be kept once for both."""
    pieces = [
        b"".join(bytes(buffer) for buffer in buffers)
        for seed in ("one", "two")
        for buffers in Content(seed, 2 * PIECE_BYTES).pieces()
    ]
    assert len(set(pieces)) == 4


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n%s\r\n0\r\n\r\n",
    ],
)
def test_a_blob_is_pulled(raw: bytes) -> None:
    """The right bytes pass, framed by a length or in chunks; one other byte does not."""
    content = Content("blob", 100)
    right = joined(content)
    for body, error in ((right, None), (b"x" + right[1:], "came back with the digest")):
        with answering(raw % (len(body), body)) as port, closing(Connection(port)) as connection:
            if error is None:
                verify_blob(connection, "team/app", content)
            else:
                with pytest.raises(Refused, match=error):
                    verify_blob(connection, "team/app", content)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", "404 instead of 200: none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "95 bytes before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort", "100 bytes came with Content-Length 5"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "unknown length"),
        (b"HTTP/1.1 200 OK\r\nContent-", "in the middle of an answer"),
    ],
)
def test_a_pull_that_is_not_whole_is_refused(raw: bytes, error: str) -> None:
    """Whatever is not the whole blob with status 200 makes the pull fail, and says what it was."""
    with answering(raw) as port, closing(Connection(port)) as connection, pytest.raises(Refused, match=error):
        pull_blob(connection, "team/app", Content("blob", 100))


def test_a_push_that_is_not_taken_is_refused() -> None:
    """An upload that does not begin with 202 fails the push with the registry's words."""
    with (
        answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater") as port,
        closing(Connection(port)) as connection,
        pytest.raises(Refused, match="POST: 503 instead of 202: later"),
    ):
        push_blob(connection, "team/app", Content("blob", 100), "docker")


def test_a_connection_that_the_server_closed_is_not_lent_again() -> None:
    """After an answer whose connection was closed, the next request goes over a new one."""
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port,
        closing(Connections(port)) as connections,
    ):
        for _ in range(3):
            with connections.lend() as connection:
                assert connection.call("GET", "/v2/").body == b"ok"
                while connection.is_usable():  # until the end of the connection has come, too
                    pass


def test_a_connection_whose_end_is_announced_is_replaced() -> None:
    """After `Connection: close` the next request of the same client goes over a new connection, and succeeds."""
    with (
        answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok") as port,
        closing(Connection(port)) as connection,
    ):
        assert [connection.call("GET", "/v2/").body for _ in range(3)] == [b"ok"] * 3
