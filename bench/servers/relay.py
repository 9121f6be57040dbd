"""`python -m bench.servers.relay`: the way to the store, or the link of a replica; nothing is looked at on the way.

Each call to the store waits before it is forwarded. To read each message would cost most of a millisecond for each
call, and with hundreds of calls a second it would be the relay that is measured. This one costs a small part of that.
It relies on what holds for S3 clients: a call begins with the first bytes that a client sends after an answer (RFC 9112
without pipelining), where an interim answer, 100 (Continue), is none. Where each connection has a rate, the kernel
keeps it (SO_MAX_PACING_RATE, socket(7)), which costs nothing here. The relay answers a connection to the port for
counts with the number of calls, of bytes that came back, and of calls of each operation of S3.

As a link, where the kernel may not be asked for one, all connections share one rate in each direction: those of the
replica's clients and those to its store. Every byte is received and sent once more, which costs more CPU than a link
that the kernel shapes.
"""

import argparse
import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.servers.calls import operation_of

CONTINUE = b"HTTP/1.1 100"
MB = 1_000_000
LOOPBACK = "127.0.0.1"
SO_MAX_PACING_RATE = 47
"""Linux's number; the socket module has no name for it."""


@dataclass
class Direction:
    """One way of a link, which all connections over it share."""

    rate_bytes_per_s: float
    _free_at_s: float = 0.0

    def wait_s(self, size: int, now_s: float) -> float:
        """Return how long it takes until so many bytes have passed, after all that were there before."""
        self._free_at_s = max(self._free_at_s, now_s) + size / self.rate_bytes_per_s
        return self._free_at_s - now_s


@dataclass
class Way:
    """A way to the store, or over a link."""

    upstream: tuple[str, int]
    delay_s: float = 0.0
    rate_bytes_per_s: int | None = None
    """The rate of each connection in each direction."""
    there: Direction | None = None
    back: Direction | None = None
    calls: int = 0
    sent_bytes: int = 0
    """How many bytes came from the store, heads and bodies."""
    operations: Counter[str] = field(default_factory=Counter)

    def pace(self, transport: asyncio.BaseTransport) -> None:
        """Bound what is sent on a connection, if it has a rate."""
        if self.rate_bytes_per_s is not None:
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.rate_bytes_per_s)


class _Side(asyncio.Protocol):
    """One of the two connections of a pair: what it receives, its peer sends, over one direction of a link if any.

    It is not read while its peer is full, or while what it has received waits.
    """

    def __init__(self, way: Way | None = None, direction: Direction | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None
        self._way = way
        self._direction = direction
        self._reasons: set[str] = set()
        """Why nothing is read: what was received waits for its time, or the peer is full."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what to write to, at its pace."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._way is not None:
            self._way.pace(transport)

    def forward(self, data: bytes) -> None:
        """Send on what was received, once the link has room for it."""
        if self._direction is None:
            self._send_on(data)
        else:
            self.hold(data, self._direction.wait_s(len(data), asyncio.get_running_loop().time()))

    def hold(self, data: bytes, wait_s: float) -> None:
        """Send on what was received, some time later."""
        self.read(unless="time")
        asyncio.get_running_loop().call_later(wait_s, self._release, data)

    def _release(self, data: bytes) -> None:
        self._send_on(data)
        self.read(again="time")

    def _send_on(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def read(self, *, unless: str = "", again: str = "") -> None:
        """Stop reading for a reason, or take a reason back: without any it is read."""
        self._reasons = (self._reasons | {unless}) - {again, ""}
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if self._reasons else self.transport.resume_reading)()

    def pause_writing(self) -> None:
        """Too much waits to be sent here: do not read the peer."""
        if self.peer is not None:
            self.peer.read(unless="full")

    def resume_writing(self) -> None:
        """Read the peer again."""
        if self.peer is not None:
            self.peer.read(again="full")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the peer too, once all is sent."""
        del exc  # a reset ends the pair as an end does
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


class StoreSide(_Side):
    """The connection to the store, or to what is at the other end of a link."""

    answered = True
    """Whether the next bytes of the client begin a call."""

    def data_received(self, data: bytes) -> None:
        """Pass on an answer, or a part of one."""
        self.answered = not data.startswith(CONTINUE)
        if self._way is not None:
            self._way.sent_bytes += len(data)
        self.forward(data)


class ClientSide(_Side):
    """The connection of a client, which is not read while its call waits."""

    def __init__(self, way: Way) -> None:
        super().__init__(way, way.there)
        self._client_way = way
        self.store = StoreSide(way, way.back)
        self.store.peer = self
        self.peer = self.store
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the store before anything is read."""
        super().connection_made(transport)
        # A little later: until Python 3.11.2 a transport begins to read after this, though it was told not to.
        asyncio.get_running_loop().call_soon(self._begin, transport)

    def _begin(self, transport: asyncio.BaseTransport) -> None:
        self.read(unless="time")
        self._connecting = asyncio.get_running_loop().create_task(self._connect(transport))

    async def _connect(self, transport: asyncio.BaseTransport) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.store, *self._client_way.upstream)
        except OSError:
            transport.close()
        else:
            self.read(again="time")

    def data_received(self, data: bytes) -> None:
        """Pass on what belongs to the call under way; hold what begins one."""
        begins, self.store.answered = self.store.answered, False
        if begins:
            self._client_way.calls += 1
            self._client_way.operations[operation_of(data)] += 1
        if begins and self._client_way.delay_s:
            self.hold(data, self._client_way.delay_s)
        else:
            self.forward(data)


async def serve(ways: Sequence[tuple[str, int, Way]], counts_port: int | None = None) -> None:
    """Relay from each of these hosts and ports until cancelled."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(ClientSide, way), host, port, backlog=1024) for host, port, way in ways]
    if counts_port is not None:
        servers.append(await asyncio.start_server(partial(_tell, ways[0][2]), LOOPBACK, counts_port))
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _tell(way: Way, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = [f"{way.calls} {way.sent_bytes}", *(f"{name} {count}" for name, count in way.operations.items())]
    writer.write("".join(f"{line}\n" for line in lines).encode())
    writer.close()  # once that is sent


def _way(text: str) -> tuple[str, int, str, int]:
    here, _, there = text.partition("=")
    (host, _, port), (upstream, _, upstream_port) = here.rpartition(":"), there.rpartition(":")
    return host, int(port), upstream, int(upstream_port)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.relay")
    parser.add_argument("--way", type=_way, action="append", required=True, metavar="HOST:PORT=HOST:PORT")
    parser.add_argument("--counts-port", type=int, help="where to say how many calls and bytes were on the first way")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each call")
    parser.add_argument("--rate-mb", type=float, help="of each connection, in each direction")
    parser.add_argument("--link-mb", type=float, help="of all together, in each direction; a second way goes back")
    options = parser.parse_args()
    rate = None if options.rate_mb is None else int(options.rate_mb * MB)
    there, back = (None if options.link_mb is None else Direction(options.link_mb * MB) for _ in range(2))
    ways = []
    for host, port, *upstream in options.way:
        ways.append((host, port, Way(tuple(upstream), options.delay_ms / 1000, rate, there, back)))
        there, back = back, there
    asyncio.run(serve(ways, options.counts_port))


if __name__ == "__main__":
    main()
