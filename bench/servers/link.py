"""`python -m bench.servers.link`: the network link of one replica, where the kernel may not be asked for one.

All connections of the replica, from its clients and to its store, share one rate in each direction. It costs more CPU
than a link that the kernel shapes: every byte is received and sent once more.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

MB = 1_000_000
READ_BYTES = 64 << 10
"""So that many connections share a link evenly."""


@dataclass
class Direction:
    """What may pass one way, in bytes per second; those who want to send wait in order."""

    rate_bytes_per_s: float
    _free_at: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def spend(self, size: int) -> None:
        """Wait until so many bytes have passed."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            self._free_at = max(self._free_at, loop.time()) + size / self.rate_bytes_per_s
            await asyncio.sleep(self._free_at - loop.time())


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
    """Pass bytes on until their sender ends."""
    while data := await reader.read(READ_BYTES):
        await direction.spend(len(data))
        writer.write(data)
        await writer.drain()
    writer.write_eof()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def connection_handler(upstream: tuple[str, int], there: Direction, back: Direction) -> Handler:
    """Return what joins a connection to a new one upstream."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # either side is gone: so is the pair
            far_reader, far_writer = await asyncio.open_connection(*upstream)
            try:
                await asyncio.gather(_pass_on(reader, far_writer, there), _pass_on(far_reader, writer, back))
            finally:
                far_writer.close()
        writer.close()

    return handle


async def serve(inward: tuple[int, tuple[str, int]], outward: tuple[int, tuple[str, int]], rate: float) -> None:
    """Relay connections to the replica, and those of the replica to its store, until cancelled."""
    into, out_of = Direction(rate), Direction(rate)
    servers = [
        await asyncio.start_server(connection_handler(inward[1], into, out_of), "127.0.0.1", inward[0], backlog=1024),
        await asyncio.start_server(connection_handler(outward[1], out_of, into), "127.0.0.1", outward[0], backlog=1024),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _way(text: str) -> tuple[int, tuple[str, int]]:
    port, _, upstream = text.partition("=")
    host, _, upstream_port = upstream.rpartition(":")
    return int(port), (host, int(upstream_port))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.link")
    parser.add_argument("--inward", type=_way, required=True, metavar="PORT=HOST:PORT", help="from clients")
    parser.add_argument("--outward", type=_way, required=True, metavar="PORT=HOST:PORT", help="to the store")
    parser.add_argument("--rate-mb", type=float, required=True, help="in each direction, all connections together")
    options = parser.parse_args()
    asyncio.run(serve(options.inward, options.outward, options.rate_mb * MB))


if __name__ == "__main__":
    main()
