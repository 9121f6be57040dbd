"""Clients' connections, as hypercorn serves them, read in large pieces that are not copied."""

from math import inf

import h11
import trio
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer

from zotpy import http1

READ_BYTES = 1024 * 1024


class ClientConnection(TCPServer):
    """One connection of a client."""

    async def _read_data(self) -> None:
        protocol = self.protocol.protocol
        if isinstance(protocol, H11Protocol):
            protocol.connection = http1.Connection(h11.SERVER, self.config.h11_max_incomplete_size)
        while True:
            try:
                with trio.fail_after(self.config.read_timeout or inf):
                    data = await self.stream.receive_some(READ_BYTES)
            except (trio.ClosedResourceError, trio.BrokenResourceError, trio.TooSlowError):
                break
            await self.protocol.handle(RawData(bytes(data)))
            if data == b"":
                break
        await self.protocol.handle(Closed())
