"""`python -m bench.servers.relay`: every call waits before it is forwarded, and nothing else is looked at.

To read each message would cost most of a millisecond for each call, and with hundreds of calls a second it would be the
proxy that is measured. This one costs a small part of that. It
relies on what holds for S3 clients: a call begins with the first bytes that a client sends after an answer (RFC 9112
without pipelining), where an interim answer, 100 (Continue), is none.

Where each connection has a rate, the kernel keeps it (SO_MAX_PACING_RATE, socket(7)), which costs nothing here.
Whoever connects to the port for counts is told how many calls there were.
"""

import argparse
import asyncio
import socket
from dataclasses import dataclass

CONTINUE = b"HTTP/1.1 100"
MB = 1_000_000
SO_MAX_PACING_RATE = 47
"""Linux's number; the socket module has no name for it."""


@dataclass
class Way:
    """The way to the store."""

    upstream: tuple[str, int]
    delay_s: float
    rate_bytes_per_s: int | None = None
    """Of each connection, in each direction."""
    calls: int = 0

    def pace(self, transport: asyncio.BaseTransport) -> None:
        """Bound what is sent on a connection, if it has a rate."""
        if self.rate_bytes_per_s is not None:
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.rate_bytes_per_s)


class _Side(asyncio.Protocol):
    """One of the two connections of a pair: what it receives, its peer sends; a full peer stops it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what to write to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def forward(self, data: bytes) -> None:
        """Send on what was received."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        """Too much waits to be sent here: do not read the peer."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read the peer again."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the peer too, once all is sent."""
        del exc  # a reset ends the pair as an end does
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


class StoreSide(_Side):
    """The connection to the store."""

    def __init__(self, way: Way | None = None) -> None:
        super().__init__()
        self._way = way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what to write to, at its pace."""
        super().connection_made(transport)
        if self._way is not None:
            self._way.pace(transport)

    answered = True
    """Whether the next bytes of the client begin a call."""

    def data_received(self, data: bytes) -> None:
        """Pass on an answer, or a part of one."""
        self.answered = not data.startswith(CONTINUE)
        self.forward(data)


class ClientSide(_Side):
    """The connection of a client, which is not read while its call waits."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self._way = way
        self._held = b""
        """The beginning of the call that waits."""
        self.store = StoreSide(way)
        self.store.peer = self
        self.peer = self.store
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the store before anything is read."""
        super().connection_made(transport)
        assert self.transport is not None
        self._way.pace(self.transport)
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(self.transport))

    async def _connect(self, transport: asyncio.Transport) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.store, *self._way.upstream)
        except OSError:
            transport.abort()
        else:
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on what belongs to the call under way; hold what begins one."""
        if self._held:
            self._held += data
        elif self.store.answered:
            self.store.answered = False
            self._way.calls += 1
            self._held += data
            assert self.transport is not None
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self._way.delay_s, self._begin)
        else:
            self.forward(data)

    def _begin(self) -> None:
        """Forward the call that waited; the client may be gone by now."""
        held, self._held = self._held, b""
        self.forward(held)
        if self.transport is not None:
            self.transport.resume_reading()


async def serve(way: Way, host: str, port: int, counts_port: int | None = None) -> None:
    """Relay until cancelled."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: ClientSide(way), host, port, backlog=1024)]
    if counts_port is not None:
        servers.append(await asyncio.start_server(lambda _, writer: _tell(way, writer), "127.0.0.1", counts_port))
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _tell(way: Way, writer: asyncio.StreamWriter) -> None:
    writer.write(b"%d\n" % way.calls)
    await writer.drain()
    writer.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.relay")
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counts-port", type=int, help="where to say how many calls there were")
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--rate-mb", type=float, help="of each connection, in each direction")
    options = parser.parse_args()
    host, _, port = options.upstream.rpartition(":")
    rate = None if options.rate_mb is None else int(options.rate_mb * MB)
    way = Way((host, int(port)), options.delay_ms / 1000, rate)
    asyncio.run(serve(way, options.host, options.port, options.counts_port))


if __name__ == "__main__":
    main()
