"""A client of HTTP/1.1 that costs little: blocking sockets, large sends, bodies received into one buffer.

The generator shares the machine with what it measures, and http.client takes 100 us for the headers of an answer alone.
"""

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue

from bench.clients.content import Buffers

TIMEOUT_S = 120
RECEIVE_BYTES = 1 << 20
FIRST_REDIRECT = 300
MOST_BUFFERS = 512
"""In one call: Linux takes 1024."""


class Refused(Exception):
    """The registry answered with another status than it should, or not with HTTP; the message says which."""


Take = Callable[[memoryview], object]
"""What takes the bytes of a body: a hash's `update`, for example."""


@dataclass(frozen=True)
class Answer:
    """A status and headers, their names in lower case; the body where nobody else took it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection; not for several threads at once."""

    def __init__(self, port: int) -> None:
        """Connect to a port of this machine."""
        self._host = f"127.0.0.1:{port}"
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the socket blocks, so one call sends it all
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", TIMEOUT_S, 0))
        self._rest = b""

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def is_usable(self) -> bool:
        """Whether the server has not closed it while nothing was asked."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def call(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Iterable[Buffers] = ()
    ) -> Answer:
        """Send a request, whose headers say how its body is framed, and return the answer with its whole body."""
        return self._exchange(method, target, None, headers, body)

    def stream(self, method: str, target: str, take: Take) -> Answer:
        """Do as `call`, but give the body of a success to `take`, piece by piece; each piece is lent, not given."""
        return self._exchange(method, target, take, None, ())

    def _exchange(
        self, method: str, target: str, take: Take | None, headers: Mapping[str, str] | None, body: Iterable[Buffers]
    ) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        head: Buffers = ("\r\n".join([*lines, "", ""]).encode(),)
        for buffers in body:  # the head goes with the first piece
            self._send([*head, *buffers])
            head = ()
        if head:
            self._send(head)
        status, received = self._receive_head()
        kept = bytearray()
        if method != "HEAD" and status not in {204, 304}:
            self._receive_body(received, take if take is not None and status < FIRST_REDIRECT else kept.extend)
        return Answer(status, received, bytes(kept))

    def _send(self, buffers: Buffers) -> None:
        for start in range(0, len(buffers), MOST_BUFFERS):
            part = buffers[start : start + MOST_BUFFERS]
            sent = self._socket.sendmsg(part)
            if sent < sum(map(len, part)):
                self._socket.sendall(b"".join(part)[sent:])

    def _receive_head(self) -> tuple[int, dict[str, str]]:
        head = self._rest
        while b"\r\n\r\n" not in head:
            head += self._more()
        text, _, self._rest = head.partition(b"\r\n\r\n")
        status_line, *lines = text.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(status_line.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _receive_body(self, headers: Mapping[str, str], take: Take) -> None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while length := int(self._line().partition(b";")[0], 16):
                self._receive(length, take)
                self._line()
            self._line()
        elif "content-length" in headers:
            self._receive(int(headers["content-length"]), take)
        else:
            msg = f"an answer of unknown length: {headers}"
            raise Refused(msg)

    def _receive(self, length: int, take: Take) -> None:
        kept, self._rest = self._rest[:length], self._rest[length:]
        if kept:
            take(memoryview(kept))
        missing = length - len(kept)
        buffer = memoryview(bytearray(min(missing, RECEIVE_BYTES)))
        while missing:
            count = self._socket.recv_into(buffer, min(missing, RECEIVE_BYTES))
            if count == 0:
                msg = f"the connection ended {missing} bytes before the end of a body"
                raise Refused(msg)
            take(buffer[:count])
            missing -= count

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _more(self) -> bytes:
        data = self._socket.recv(64 * 1024)
        if not data:
            msg = "the connection ended in the middle of an answer"
            raise Refused(msg)
        return data


class Connections:
    """Connections to one registry, lent to one thread at a time and used again."""

    def __init__(self, port: int) -> None:
        """Open none yet."""
        self._port = port
        self._idle: LifoQueue[Connection] = LifoQueue()

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend an idle connection, or a new one; after an error it is closed."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                return Connection(self._port)
            if connection.is_usable():
                return connection
            connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        while not self._idle.empty():
            self._idle.get().close()
