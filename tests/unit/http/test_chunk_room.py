"""Chunks of one length are received beside one another, and a body is the same as if they were joined."""

from __future__ import annotations

import random
import socket
from contextlib import contextmanager
from itertools import accumulate, chain, pairwise, repeat
from typing import TYPE_CHECKING
from unittest.mock import Mock

import h11
import pytest
import trio

from zotpy.core.units import KIB, MIB
from zotpy.http import chunks
from zotpy.http.chunk_room import ChunkRoom
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.incoming import Incoming
from zotpy.http.sockets import MOST_BITE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from zotpy.http.sockets import Read

CHUNK_BYTES = 32 * KIB
END = b"0\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n"


def chunk(content: bytes, extension: bytes = b"") -> bytes:
    """Write one."""
    return b"%x%b\r\n%b\r\n" % (len(content), extension, content)


class Sender:
    """Sends a body to a server, which reads it in pieces that the test chooses."""

    def __init__(self, near: socket.socket, far: socket.socket, sent: bytes, length: int | None = None) -> None:
        """Send `sent`. The buffers of both sockets have room for what is sent at once."""
        self._near, self._far = trio.socket.from_stdlib_socket(near), far
        self._left = memoryview(sent)
        self._is_chunked = length is None
        self.most_bytes = MIB
        self.sends: Callable[[], int] = lambda: MIB
        connection = Mock(config=ServerConfig(), receive_of_body_now=self._read, receive_of_body=self._wait_and_read)
        self.incoming = Incoming(connection, length, b"", lambda: None)

    def _read(self, left_bytes: int | None, reach_bytes: int, read_now: Read) -> bytes | bytearray:
        assert (left_bytes is None) == self._is_chunked
        self._left = self._left[self._far.send(self._left[: self.sends()]) :]
        return read_now(self._near, min(reach_bytes, self.most_bytes))

    async def _wait_and_read(self, left_bytes: int | None, reach_bytes: int, read_now: Read) -> bytes | bytearray:
        return self._read(left_bytes, reach_bytes, read_now)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read to the end of the body."""
        while not self.incoming.has_ended:
            message = self.incoming.here() or await self.incoming.receive()
            assert message["type"] == "http.request"
            yield message["body"]


@contextmanager
def sending(sent: bytes, length: int | None = None) -> Iterator[Sender]:
    """Open a connection."""
    near, far = socket.socketpair()
    with near, far:
        for opened in (near, far):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            opened.settimeout(0)
        yield Sender(near, far, sent, length)


def joined_by_h11(sent: bytes) -> bytes:
    """Return the body as h11 reads it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
    body = bytearray()
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            body += event.data
    return bytes(body)


def some_length(drawn: random.Random, usual_bytes: int) -> int:
    """Draw the length of a chunk: mostly the usual one."""
    if drawn.random() < 0.97:
        return usual_bytes
    return drawn.choice([1, usual_bytes - 1, usual_bytes + 1, 2 * usual_bytes, drawn.randrange(1, usual_bytes)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("usual_bytes", [chunks.LEAST_ROOM_CHUNK_BYTES, CHUNK_BYTES, 5 * CHUNK_BYTES, 3 * MIB])
async def test_a_body_is_what_h11_reads_however_it_comes(usual_bytes: int, seed: int) -> None:
    """Chunks are longer and shorter now and then, have extensions, and reads end anywhere."""
    drawn = random.Random(seed)
    lengths = [some_length(drawn, usual_bytes) for _ in range(2 + 4 * MIB // usual_bytes)]
    extensions = drawn.choices([b"", b";a=b", b" "], weights=[500, 1, 1], k=len(lengths))
    sent = b"".join(map(chunk, map(drawn.randbytes, lengths), extensions)) + END + NEXT
    with sending(sent) as sender:
        sender.sends = lambda: drawn.choice([1, 7, CHUNK_BYTES, MIB, MIB, MIB, drawn.randrange(1, MIB)])
        sender.most_bytes = drawn.choice([MIB, MIB, 200 * KIB])
        assert b"".join([piece async for piece in sender.pieces()]) == joined_by_h11(sent)
        assert NEXT.startswith(sender.incoming.behind)


def body_of(count: int) -> tuple[bytes, bytes]:
    """Return a body, and its chunks of one length."""
    body = random.randbytes(count * CHUNK_BYTES)
    return body, b"".join(chunk(body[at : at + CHUNK_BYTES]) for at in range(0, len(body), CHUNK_BYTES))


async def test_chunks_of_one_length_are_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some of them, what a read brings goes to its place, and no byte of it is copied."""
    taken: list[bytearray] = []
    receive = ChunkRoom.receive

    def noting(room: ChunkRoom, descriptor: int) -> tuple[bytearray, bytes]:
        data, rest = receive(room, descriptor)
        taken.append(data)
        return data, rest

    monkeypatch.setattr(ChunkRoom, "receive", noting)
    body, sent = body_of(8 * MIB // CHUNK_BYTES)
    with sending(sent + END) as sender:
        pieces = [piece async for piece in sender.pieces()]
    assert b"".join(pieces) == body
    assert len(taken) == 7
    assert all(piece is data for piece, data in zip(pieces[1:], taken, strict=False))


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("first_bytes", [1000, 64 * KIB + 1])
async def test_no_piece_goes_beyond_the_end_of_a_part(first_bytes: int, *, is_chunked: bool) -> None:
    """Parts are whole numbers of bites. Reads end there, after a first one of any length, and are as long as bites."""
    body, chunked = body_of(4 * MOST_BITE_BYTES // CHUNK_BYTES)
    sent = chunked + END if is_chunked else body
    with sending(sent, None if is_chunked else len(body)) as sender:
        amounts = chain([first_bytes, 20 * CHUNK_BYTES], repeat(2 * MOST_BITE_BYTES))
        sender.sends, sender.most_bytes = lambda: next(amounts), len(sent)
        ends = list(accumulate([len(piece) async for piece in sender.pieces()]))
    assert ends[-1] == len(body)
    assert {MOST_BITE_BYTES * number for number in (1, 2, 3, 4)} <= set(ends)
    assert MOST_BITE_BYTES in {end - start for start, end in pairwise(ends)}


async def test_all_that_is_here_of_the_end_is_read_at_once() -> None:
    """Nothing of it is left for another read, which would wait for more bytes first."""
    body, sent = body_of(12)
    with sending(sent + chunk(b"end") + END) as sender:
        first = len(sent) - CHUNK_BYTES * 6
        amounts = iter([first, MIB])
        sender.sends = lambda: next(amounts)
        assert b"".join([piece async for piece in sender.pieces()]) == body + b"end"


async def test_a_body_of_other_chunks_is_joined() -> None:
    """Neither short chunks nor those that differ are expected to be alike."""
    for lengths in ([100] * 9000, [CHUNK_BYTES, CHUNK_BYTES + 1] * 16):
        body = [random.randbytes(length) for length in lengths]
        with sending(b"".join(map(chunk, body)) + END) as sender:
            reader = sender.incoming._reader
            async for _ in sender.pieces():
                assert reader.room(MIB, MIB) is None
