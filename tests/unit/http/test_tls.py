"""TLS on our side, with a peer that uses trio's own stream: what one has, the other must understand."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.web.certificates import write_certificate
from zotpy.core.units import KIB, MIB
from zotpy.http.tls import TLSStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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
