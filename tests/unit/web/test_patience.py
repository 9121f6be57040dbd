"""Bytes of a body gather in the socket before they are read, and nothing waits for bytes that may not come.

The clock stands still unless a test moves it: what goes on does so because the bytes are there.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.web.certificates import write_certificate
from tests.unit.web.serving import REPO, push_zeros, serving
from zotpy.core.units import KIB, MIB
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.patience import EAGER_BYTES, LONGEST_WAIT_S, Patience
from zotpy.http.server.pauses import LOOK_S, Pauses
from zotpy.http.server.wire import READS_IN_A_TURN, Wire
from zotpy.http.silences import Silences
from zotpy.http.sockets import LEAST_BITE_BYTES, MOST_BITE_BYTES, SHARED_BYTES, Shares, received_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hypercorn.typing import ASGIReceiveEvent

PIECE = 4 * KIB
BITE = 32 * KIB
"""A bite where memory for no more is left. The system calls a socket readable when it has no room for more, too."""


class Line:
    """Both ends of a connection over loopback, and how the near one waits."""

    def __init__(self, near: trio.socket.SocketType, far: trio.socket.SocketType) -> None:
        """Have the near end read by a connection that has got the first bytes of a body, in small pieces."""
        self.near, self.far = near, far
        self.shares = Shares()
        self.patience = Patience(self.shares, Pauses(), Silences())
        for _ in range(EAGER_BYTES // PIECE):
            self.patience.note(PIECE, in_body=True)

    async def send(self, size_bytes: int) -> None:
        """Send this many bytes, and see them arrive."""
        view, expected = memoryview(bytes(size_bytes)), received_bytes(self.near) + size_bytes
        while view:
            view = view[await self.far.send(view) :]
        while received_bytes(self.near) < expected:
            await trio.lowlevel.checkpoint()

    async def waits(self, nursery: trio.Nursery, left_bytes: int | None) -> trio.Event:
        """Begin to wait for a body of which this many bytes are left. Return what is set at the end."""
        done = trio.Event()

        async def gather() -> None:
            await self.patience.gather(self.near, left_bytes, BITE)
            done.set()

        nursery.start_soon(gather)
        await trio.testing.wait_all_tasks_blocked()
        return done


@asynccontextmanager
async def connected() -> AsyncIterator[Line]:
    """Connect two sockets."""
    with trio.socket.socket() as listener, trio.socket.socket() as far:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        await far.connect(listener.getsockname())
        near, _ = await listener.accept()
        with near:
            yield Line(near, far)


def least_bytes(opened: trio.socket.SocketType) -> int:
    """Return how many bytes the system waits for before it calls a socket readable."""
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


async def test_pieces_are_waited_for_until_they_make_a_bite(mock_clock: trio.testing.MockClock) -> None:
    """Fewer bytes than a bite wake nobody; the one that completes it does, and the next read waits for any byte."""
    del mock_clock
    async with connected() as line, trio.open_nursery() as nursery:
        await line.send(PIECE)
        done = await line.waits(nursery, 10 * BITE)
        await line.send(BITE - PIECE - 1)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        await line.send(1)
        await done.wait()
        assert least_bytes(line.near) == 1


async def test_the_last_bytes_of_a_known_length_are_enough(mock_clock: trio.testing.MockClock) -> None:
    """Nobody waits for more than what is left of the body."""
    del mock_clock
    async with connected() as line, trio.open_nursery() as nursery:
        done = await line.waits(nursery, 3 * PIECE)
        await line.send(2 * PIECE)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        await line.send(PIECE)
        await done.wait()


@pytest.mark.parametrize("left_bytes", [10 * BITE, None])
async def test_the_end_of_a_connection_is_seen_at_once(
    left_bytes: int | None, mock_clock: trio.testing.MockClock
) -> None:
    """No task waits for a client that leaves in the middle."""
    async with connected() as line, trio.open_nursery() as nursery:
        mock_clock.jump(1.0)
        done = await line.waits(nursery, left_bytes)
        assert not done.is_set()
        line.far.shutdown(socket.SHUT_WR)
        await done.wait()


async def test_a_pause_that_ends_on_a_connection_that_was_cut_is_its_end() -> None:
    """Its answer was not taken in time, at that same moment. Any other error would end the whole replica."""
    async with connected() as line:
        line.near.close()
        with pytest.raises(trio.ClosedResourceError):
            received_bytes(line.near)


async def test_what_is_sent_after_a_cut_meets_a_closed_connection() -> None:
    """The handler may have a next piece at hand."""
    config = ServerConfig()
    config.send_stall_s = 0.1
    async with connected() as line:
        wire = Wire(trio.SocketStream(line.near), trio.Lock(), config)
        piece = memoryview(bytes(16 * MIB))
        with pytest.raises(trio.TooSlowError):
            await wire.send(piece)
        wire.reset()
        with pytest.raises(trio.ClosedResourceError):
            await wire.send(piece)


async def test_a_slow_client_is_waited_for_no_longer_than_a_moment(mock_clock: trio.testing.MockClock) -> None:
    """Its bytes are read after that, however few they are."""
    async with connected() as line, trio.open_nursery() as nursery:
        await line.send(1)
        done = await line.waits(nursery, 10 * BITE)
        assert not done.is_set()
        mock_clock.jump(LONGEST_WAIT_S)
        await done.wait()
        assert least_bytes(line.near) == 1


async def test_without_a_length_a_wait_is_little_longer_than_a_bite_took_before(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Of a body that brought its first 64 KiB in 32 ms, the next half of that takes 16 ms, and 1.6 ms are granted."""
    async with connected() as line, trio.open_nursery() as nursery:
        mock_clock.jump(0.032)
        done = await line.waits(nursery, None)
        mock_clock.jump(0.0175)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        mock_clock.jump(0.0002)
        await done.wait()


async def test_many_bodies_share_what_the_system_may_hold(mock_clock: trio.testing.MockClock) -> None:
    """The more bodies gather, the shorter are their bites; at the end of a body the others have its share."""
    del mock_clock
    async with connected() as line:
        assert line.shares.bite_bytes == MOST_BITE_BYTES
        line.shares.bodies = 2 * SHARED_BYTES // MOST_BITE_BYTES - 1
        assert line.patience.most(MIB) == MOST_BITE_BYTES // 2
        assert line.patience.most(1) == 1
        assert line.shares.bite_bytes == MOST_BITE_BYTES // 2
        line.patience.note(1, in_body=False)
        line.patience.end()
        assert line.shares.bodies == 2 * SHARED_BYTES // MOST_BITE_BYTES - 1
        line.shares.bodies = 1_000_000
        assert line.shares.bite_bytes == LEAST_BITE_BYTES


@pytest.mark.parametrize(("here", "left_bytes"), [(BITE, 10 * BITE), (2 * BITE, None), (PIECE, PIECE)])
async def test_nobody_waits_for_a_bite_that_is_here(
    here: int, left_bytes: int | None, mock_clock: trio.testing.MockClock
) -> None:
    """A fast client has sent it, or the end of the body, before it is asked for."""
    del mock_clock
    async with connected() as line:
        await line.send(here)
        assert not await line.patience.gather(line.near, left_bytes, BITE)


async def test_bites_that_are_here_are_read_without_a_turn_of_the_event_loop() -> None:
    """After some of them others get a turn. Fewer bytes than a bite are waited for, unless they are the end."""
    config, size = ServerConfig(), 4 * KIB
    async with connected() as line:
        wire = Wire(trio.SocketStream(line.near), trio.Lock(), config)
        await line.send(EAGER_BYTES)
        assert wire.receive_now(MIB, EAGER_BYTES) == b""  # the first bytes of a body are not gathered
        for _ in range(EAGER_BYTES // size):
            wire.patience.note(len(await wire.receive(MIB, size)), in_body=True)
        await line.send((READS_IN_A_TURN + 2) * size)
        read = [len(wire.receive_now(MIB, size)) for _ in range(READS_IN_A_TURN + 1)]
        assert read == [*[size] * READS_IN_A_TURN, 0]
        assert len(await wire.receive(MIB, size)) == size
        assert len(wire.receive_now(MIB, size)) == size
        await line.send(size - 1)
        assert wire.receive_now(MIB, size) == b""
        assert len(wire.receive_now(size - 1, size)) == size - 1


async def gathering(line: Line) -> Wire:
    """Return a wire that has read the first bytes of a body, which are not gathered."""
    wire = Wire(trio.SocketStream(line.near), trio.Lock(), ServerConfig())
    wire.patience.note(EAGER_BYTES, in_body=True)
    return wire


async def test_a_long_body_is_read_without_a_call_to_the_system_for_each_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system waits for bite after bite, and nobody looks for what it says; whatever comes next may be short."""
    looks = 0

    def counted(opened: trio.socket.SocketType) -> int:
        nonlocal looks
        looks += 1
        return received_bytes(opened)

    monkeypatch.setattr("zotpy.http.server.patience.received_bytes", counted)
    async with connected() as line:
        wire = await gathering(line)
        for _ in range(5):
            assert len(await received_soon(line, wire, BITE, 10 * BITE)) == BITE
            assert least_bytes(line.near) == BITE
        assert len(await received_soon(line, wire, PIECE, PIECE)) == PIECE
        assert looks == 0
        wire.patience.note(PIECE, in_body=False)
        await line.send(1)
        assert len(await wire.receive(0, BITE)) == 1
        assert least_bytes(line.near) == 1


async def received_soon(line: Line, wire: Wire, size_bytes: int, left_bytes: int) -> bytes | bytearray:
    """Send bytes while they are waited for, in two steps, and return what was received in one."""
    received: bytes | bytearray | None = None

    async def receive() -> None:
        nonlocal received
        received = await wire.receive_soon(left_bytes, BITE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await line.send(size_bytes - 1)
        await trio.testing.wait_all_tasks_blocked()
        assert received is None
        await line.far.send(b"x")
    assert received is not None
    return received


@pytest.mark.parametrize("here", [0, 1])
async def test_a_bite_that_does_not_come_is_waited_for_no_longer_than_a_moment(
    here: int, mock_clock: trio.testing.MockClock
) -> None:
    """What is here is received then, however little it is; without any byte the caller looks at its time limits."""
    received: list[bytes | bytearray | None] = []
    async with connected() as line, trio.open_nursery() as nursery:
        wire = await gathering(line)
        await line.send(here)

        async def receive() -> None:
            received.append(await wire.receive_soon(10 * BITE, BITE))

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        assert not received
        mock_clock.jump(LONGEST_WAIT_S)
        while not received:
            await trio.lowlevel.checkpoint()
        assert received == [bytes(here) or None]
        await line.send(1)  # the next wait ends with any byte
        assert len(await wire.receive(EAGER_BYTES, 1)) == 1


async def test_the_end_of_a_connection_ends_a_wait_for_a_bite() -> None:
    """If the client leaves in the middle, the read returns nothing. If another task has closed it, that is an error."""
    async with connected() as line, trio.open_nursery() as nursery:
        wire = await gathering(line)
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)
        line.far.shutdown(socket.SHUT_WR)
        assert await wire.receive_soon(10 * BITE, BITE) == b""
        line.near.close()
        with pytest.raises(trio.ClosedResourceError):
            await wire.receive_soon(10 * BITE, BITE)


async def test_the_first_bytes_of_each_body_are_read_as_they_come(mock_clock: trio.testing.MockClock) -> None:
    """A short body, and the beginning of a long one after another, wait for nothing."""
    del mock_clock
    async with connected() as line:
        line.patience.note(PIECE, in_body=False)
        line.patience.note(EAGER_BYTES - 1, in_body=True)
        assert not await line.patience.gather(line.near, 10 * MIB, MIB)


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
async def test_a_body_in_small_pieces_costs_few_messages(
    framing: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push in pieces of 4 KiB takes no more messages through the server than its bites, its waits, and its beginning.

    On a slow machine waits end before a bite is there; they are counted by the time that the push took.
    """
    messages = 0
    take = BoundedBody.take

    def counted(self: BoundedBody, message: ASGIReceiveEvent) -> bytes:
        nonlocal messages
        messages += 1
        return take(self, message)

    monkeypatch.setattr(BoundedBody, "take", counted)
    content = bytes(4 * MIB)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    head = f"POST /v2/{REPO}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: r\r\n"
    config = ServerConfig()
    config.read_bytes = lambda: MIB
    async with serving(nursery, config=config) as replica, await replica.connect() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = trio.current_time()
        length = f"Content-Length: {len(content)}" if framing == "Content-Length" else "Transfer-Encoding: chunked"
        await stream.send_all(f"{head}{length}\r\n\r\n".encode())
        for _ in range(len(content) // PIECE):
            piece = bytes(PIECE)
            await stream.send_all(piece if framing == "Content-Length" else b"%x\r\n%b\r\n" % (PIECE, piece))
            await trio.sleep(0.0002)
        if framing == "chunked":
            await stream.send_all(b"0\r\n\r\n")
        answer = bytes(await stream.receive_some())
        took_s = trio.current_time() - began
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    shortest_wait_s = LONGEST_WAIT_S if framing == "Content-Length" else LOOK_S
    assert messages <= EAGER_BYTES // PIECE + len(content) // MOST_BITE_BYTES + took_s / shortest_wait_s + 10


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the length of each write to any file from now on, as they come."""
    writes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: memoryview) -> int:
        writes.append(write(descriptor, data))
        return writes[-1]

    monkeypatch.setattr(os, "write", counted)
    return writes


async def test_an_answer_through_a_small_window_takes_few_writes(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads through a window of some KiB is sent bites, not a window at a time."""
    config = ServerConfig()
    async with serving(nursery, config=config) as replica:
        digest = await push_zeros(replica, 4 * MIB)
        writes = count_writes(monkeypatch)
        with trio.socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
            await client.connect(("127.0.0.1", replica.port))
            request = f"GET /v2/{REPO}/blobs/{digest} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"
            await client.send(request.encode())
            received = 0
            while data := await client.recv(8 * KIB):
                received += len(data)
    assert received > 4 * MIB
    large = [size for size in writes if size > KIB]  # not those that wake an event loop
    assert sum(writes) >= 4 * MIB
    assert len(large) <= 4 * MIB // (64 * KIB)


async def test_with_tls_a_body_in_small_pieces_costs_few_messages_and_an_answer_few_writes(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Records are gathered in the socket like any bytes, decrypted together, and sent together."""
    pieces: list[int] = []
    take = BoundedBody.take

    def counted(self: BoundedBody, message: ASGIReceiveEvent) -> bytes:
        pieces.append(len(taken := take(self, message)))
        return taken

    monkeypatch.setattr(BoundedBody, "take", counted)
    certificate, key = write_certificate(tmp_path)
    config = ServerConfig()
    config.certfile, config.keyfile = str(certificate), str(key)
    config.read_bytes = lambda: MIB
    content = bytes(4 * MIB)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    async with serving(nursery, config=config) as replica:
        stream = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", replica.port, ssl_context=ssl.create_default_context(cafile=str(certificate))
        )
        async with stream:
            head = f"POST /v2/{REPO}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: r\r\n"
            await stream.send_all(f"{head}Content-Length: {4 * MIB}\r\n\r\n".encode())
            began = trio.current_time()
            for start in range(0, len(content), PIECE):
                await stream.send_all(content[start : start + PIECE])
            answer = await stream.receive_some()
            took_s = trio.current_time() - began
            assert answer.startswith(b"HTTP/1.1 201 "), answer
            assert len(pieces) <= EAGER_BYTES // PIECE + 4 * MIB // MOST_BITE_BYTES + took_s / LONGEST_WAIT_S + 10
            writes = count_writes(monkeypatch)
            await stream.send_all(f"GET /v2/{REPO}/blobs/{digest} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
            received = 0
            while received < 4 * MIB:
                received += len(await stream.receive_some())
            assert len([size for size in writes if size > KIB]) <= 4 * MIB // (16 * KIB)
