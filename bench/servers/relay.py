"""`python -m bench.servers.relay`: every call waits before it is forwarded, and nothing else is looked at.

`bench.proxy` reads each message, shapes its bytes and breaks it where told; that costs most of a millisecond for each
call, and with hundreds of calls a second it is the proxy that is measured. This one costs a small part of that. It
relies on what holds for S3 clients: a call begins with the first bytes that a client sends after an answer (RFC 9112
without pipelining), where an interim answer, 100 (Continue), is none.
"""

import argparse
import asyncio

CONTINUE = b"HTTP/1.1 100"


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

    answered = True
    """Whether the next bytes of the client begin a call."""

    def data_received(self, data: bytes) -> None:
        """Pass on an answer, or a part of one."""
        self.answered = not data.startswith(CONTINUE)
        self.forward(data)


class ClientSide(_Side):
    """The connection of a client, which is not read while its call waits."""

    def __init__(self, upstream: tuple[str, int], delay_s: float) -> None:
        super().__init__()
        self._upstream = upstream
        self._delay_s = delay_s
        self._held = b""
        """The beginning of the call that waits."""
        self.store = StoreSide()
        self.store.peer = self
        self.peer = self.store
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the store before anything is read."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(self.transport))

    async def _connect(self, transport: asyncio.Transport) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.store, *self._upstream)
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
            self._held += data
            assert self.transport is not None
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self._delay_s, self._begin)
        else:
            self.forward(data)

    def _begin(self) -> None:
        """Forward the call that waited; the client may be gone by now."""
        held, self._held = self._held, b""
        self.forward(held)
        if self.transport is not None:
            self.transport.resume_reading()


async def serve(upstream: tuple[str, int], port: int, delay_s: float) -> None:
    """Relay until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientSide(upstream, delay_s), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.relay")
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    options = parser.parse_args()
    host, _, port = options.upstream.rpartition(":")
    asyncio.run(serve((host, int(port)), options.port, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
