"""One side of a call: a connection whose bytes can be stopped, and are let through at a rate."""

import select

import trio

READ_BYTES = 256 * 1024
HEAD_LIMIT_BYTES = 64 * 1024
CATCH_UP_S = 0.01
"""How far behind its rate a connection may fall and catch up: sleeps end late, by a millisecond or so."""
TICK_S = 0.001


class Gone(Exception):
    """A connection ended in the middle of a message."""


class Gate:
    """Lets everything through, or nothing."""

    def __init__(self) -> None:
        """Be open."""
        self._opened = trio.Event()
        self._opened.set()

    def shut(self) -> None:
        """Let nothing more through."""
        if self._opened.is_set():
            self._opened = trio.Event()

    def open(self) -> None:
        """Let all go on that waits."""
        self._opened.set()

    async def passing(self) -> None:
        """Wait while it is shut."""
        while not self._opened.is_set():
            await self._opened.wait()


class Pace:
    """A rate in bytes a second; `None`: as fast as it goes."""

    def __init__(self, bytes_per_s: float | None) -> None:
        """Owe nothing yet."""
        self._bytes_per_s = bytes_per_s
        self._due = 0.0

    def begin(self) -> None:
        """Begin a body: nothing was saved up while the connection was idle."""
        self._due = max(self._due, trio.current_time())

    async def spend(self, size_bytes: int) -> None:
        """Wait until this many bytes have come through."""
        if self._bytes_per_s is None:
            return
        now = trio.current_time()
        self._due = max(self._due, now - CATCH_UP_S) + size_bytes / self._bytes_per_s
        if self._due - now >= TICK_S:
            await trio.sleep_until(self._due)


class Peer:
    """A connection to the client or to the service."""

    def __init__(self, stream: trio.SocketStream, gate: Gate, bytes_per_s: float | None) -> None:
        """Read from `stream` no more than the gate lets through, bodies at this rate."""
        self._stream = stream
        self._gate = gate
        self._ahead = b""
        self.pace = Pace(bytes_per_s)

    @property
    def is_stale(self) -> bool:
        """Whether something came, if only the end, though nothing was asked for."""
        poll = select.poll()
        poll.register(self._stream.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def receive(self, most: int = READ_BYTES) -> bytes:
        """Return some bytes, none at the end. Raises `trio.BrokenResourceError`."""
        if self._ahead:
            data, self._ahead = self._ahead[:most], self._ahead[most:]
            return data
        await self.readable()
        return await self._stream.receive_some(min(most, READ_BYTES))

    async def readable(self) -> None:
        """Wait until there is something to read, if only the end; nothing is read."""
        await trio.lowlevel.wait_readable(self._stream.socket)
        await self._gate.passing()

    def put_back(self, data: bytes) -> None:
        """Keep bytes that belong to the next message."""
        self._ahead = data + self._ahead

    async def read_head(self) -> bytes | None:
        """Return a head with its empty line, or `None` if the connection ends before one."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = await self.receive()
            if not more or len(data) > HEAD_LIMIT_BYTES:
                return None
            data += more
        self.put_back(data[end + 4 :])
        return data[: end + 4]

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises `trio.BrokenResourceError`."""
        await self._gate.passing()
        await self._stream.send_all(data)

    async def send_last(self, data: bytes) -> None:
        """Send, end our side, and drop what comes until the other side ends: to close at once would take it back."""
        await self.send(data)
        await self._stream.send_eof()
        while await self.receive():
            pass

    async def close(self) -> None:
        """End the connection at once."""
        await trio.aclose_forcefully(self._stream)
