"""TLS on our side, with a peer that uses trio's own stream: what one has, the other must understand."""

from __future__ import annotations

import resource
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.web.certificates import write_certificate
from zotpy.core.units import KIB, MIB
from zotpy.http.tls import TLSStream
from zotpy.http.tls_records import Records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORD = 16 * KIB


class Ends:
    """A connection over loopback, ours not yet secured; how often ours reads from it is counted."""

    def __init__(self, near: trio.SocketStream, far: trio.SocketStream, directory: Path) -> None:
        """Have the near end be the server."""
        cert, key = write_certificate(directory)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        self.near = TLSStream(near, context, server_side=True)
        trusting = ssl.create_default_context(cafile=str(cert))
        self.far = trio.SSLStream(far, trusting, server_hostname="127.0.0.1", https_compatible=True)

    async def agree(self) -> None:
        """Do the handshake on both ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.near.do_handshake)
            nursery.start_soon(self.far.do_handshake)


@asynccontextmanager
async def connected(directory: Path) -> AsyncIterator[Ends]:
    """Connect two sockets."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        far = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        near = await listener.accept()
    async with far, near:
        yield Ends(near, far, directory)


async def test_many_records_are_one_read(tmp_path: Path) -> None:
    """All that is here is decrypted at once, up to what the reader takes."""
    async with connected(tmp_path) as ends:
        await ends.agree()
        content = bytes(range(256)) * (5 * RECORD // 256)
        await ends.far.send_all(content)  # few enough for the system to hold
        await trio.testing.wait_all_tasks_blocked()
        received = await ends.near.receive_some(4 * RECORD)
        assert received == content[: len(received)]
        while len(received) < 4 * RECORD:  # some of it was still on its way
            received += await ends.near.receive_some(4 * RECORD - len(received))
        assert ends.near.has_bytes
        received += await ends.near.receive_some(MIB)
        assert received == content
        assert not ends.near.has_bytes


@pytest.mark.parametrize("size_bytes", [1, RECORD + 1, 3 * MIB])
async def test_what_is_sent_arrives(size_bytes: int, tmp_path: Path) -> None:
    """Short and long, each byte in its place."""
    async with connected(tmp_path) as ends:
        await ends.agree()
        content = bytes(n % 251 for n in range(size_bytes))
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends.near.send_all, content)
            while len(received) < size_bytes:
                received += await ends.far.receive_some()
        assert received == content


async def test_the_end_of_the_other_side_is_an_end(tmp_path: Path) -> None:
    """With a word of farewell, and without one."""
    for says_farewell in (True, False):
        async with connected(tmp_path) as ends:
            await ends.agree()
            await ends.near.send_all(b"first")
            assert await ends.far.receive_some() == b"first"  # and the tickets before it: unread bytes cause a reset
            await ends.far.send_all(b"last")
            await (ends.far.aclose() if says_farewell else ends.far.transport_stream.send_eof())
            assert [await ends.near.receive_some(), await ends.near.receive_some()] == [b"last", b""]


async def test_our_end_is_told(tmp_path: Path) -> None:
    """The peer sees an end that nobody has forged: it reads nothing, with a strict stream, too."""
    async with connected(tmp_path) as ends:
        await ends.agree()
        await ends.near.aclose()
        assert await ends.far.receive_some() == b""
        with pytest.raises(trio.ClosedResourceError):
            await ends.near.receive_some()


async def test_a_peer_without_tls_breaks_the_handshake(tmp_path: Path) -> None:
    """The reason is the cause of the error."""
    async with connected(tmp_path) as ends:
        await ends.far.transport_stream.send_all(b"GET / HTTP/1.1\r\nHost: r\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError) as caught:
            await ends.near.do_handshake()
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_a_peer_that_goes_away_in_the_handshake_breaks_it(tmp_path: Path) -> None:
    """Nobody waits for it."""
    async with connected(tmp_path) as ends:
        await ends.far.transport_stream.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await ends.near.do_handshake()


async def test_bytes_that_are_no_record_break_the_connection(tmp_path: Path) -> None:
    """They are never handed out."""
    async with connected(tmp_path) as ends:
        await ends.agree()
        await ends.far.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(trio.BrokenResourceError):
            await ends.near.receive_some()


@asynccontextmanager
async def pairs(count: int, directory: Path) -> AsyncIterator[list[tuple[TLSStream, TLSStream]]]:
    """Secure connections in memory, with ours on both ends: server, client."""
    cert, key = write_certificate(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    made: list[tuple[TLSStream, TLSStream]] = []
    for _ in range(count):
        near, far = trio.testing.memory_stream_pair()
        made.append(
            (
                TLSStream(near, context, server_side=True),
                TLSStream(far, trusting, server_hostname="127.0.0.1"),
            )
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made[-1][0].do_handshake)
            nursery.start_soon(made[-1][1].do_handshake)
    yield made
    for pair in made:
        for end in pair:
            await trio.aclose_forcefully(end)


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 100, RECORD])
async def test_the_beginning_of_a_record_is_known(cut: int, tmp_path: Path) -> None:
    """OpenSSL takes it out of our hands. Nobody may wait at the socket for what is here already."""
    async with pairs(1, tmp_path) as [(near, far)]:
        whole, begun = far.encrypt(b"whole"), far.encrypt(bytes(RECORD))
        await far.transport_stream.send_all(whole + begun[:cut])
        assert await near.receive_some(MIB) == b"whole"
        assert not near.has_bytes
        assert not near.is_empty
        assert near.unfinished_bytes == cut
        await far.transport_stream.send_all(begun[cut:])
        assert await near.receive_some(MIB) == bytes(RECORD)
        assert near.unfinished_bytes == 0
        assert near.is_empty


@pytest.mark.parametrize("piece_bytes", [1, 3, 5, 7, RECORD - 1, RECORD + 22, 64 * KIB])
def test_records_are_followed_however_they_are_cut(piece_bytes: int) -> None:
    """Also those without content, and headers in two pieces."""
    records, known, ends, lengths = b"", Records(), [0], (0, 1, RECORD, 0, 300, RECORD + 17)
    for length in lengths * 3:
        records += b"\x17\x03\x03" + length.to_bytes(2, "big") + bytes(length)
        ends.append(len(records))
    for start in range(0, len(records), piece_bytes):
        at = min(start + piece_bytes, len(records))
        known.note(records[start:at])
        assert known.unfinished_bytes == at - max(end for end in ends if end <= at)


def resident_bytes() -> int:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


async def test_a_connection_keeps_little_of_what_went_through_it(tmp_path: Path) -> None:
    """OpenSSL's buffers never shrink: connections that rest would keep as much as they held when they were busy."""
    count, content = 40, bytes(MIB)
    async with pairs(count, tmp_path) as made:
        before = resident_bytes()
        for near, far in made:
            for one, other in ((near, far), (far, near)):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one.send_all, content)
                    left = len(content)
                    while left:
                        left -= len(await other.receive_some(MIB))
        assert resident_bytes() - before < count * MIB // 2, "two ends of each, with two buffers"
