"""A client of HTTP/1.1 that costs little: blocking sockets, large sends, bodies received into one buffer.

The generator shares the machine with what it measures, and http.client takes 100 us for the headers of an answer alone.
"""

import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bench.clients.content import Buffers
from bench.clients.endpoint import Endpoint, loopback

TIMEOUT_S = 120
RECEIVE_BYTES = 1 << 20
FIRST_REDIRECT = 300
COUNTED_BYTES = 256 << 10
"""How many bytes are sent in one call: few enough that the count is not far behind."""


class Refused(Exception):
    """The registry answered with another status than it should, or not with HTTP; the message says which."""


Take = Callable[[memoryview], object]
"""Called with the bytes of a body: a hash's `update`, for example."""


@dataclass(frozen=True)
class Answer:
    """A status and headers, their names in lower case; the body where nobody else took it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Traffic:
    """Bytes that one client has sent and received so far, heads and bodies."""

    sent_bytes: int = 0
    received_bytes: int = 0


class Connection:
    """One connection; not for several threads at once."""

    receive_bytes = RECEIVE_BYTES
    """How many bytes of a body one call to the system receives at most."""

    def __init__(self, where: Endpoint | int, traffic: Traffic | None = None) -> None:
        """Connect to an endpoint, or to a port of this machine; `traffic` counts bytes as they go."""
        self.endpoint = loopback(where) if isinstance(where, int) else where
        self._socket = self._open()
        self._traffic = traffic or Traffic()
        self._rest = b""
        self._has_ended = False

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def beside(self, endpoint: Endpoint) -> "Connection":
        """Connect to another endpoint, for the same client."""
        return Connection(endpoint, self._traffic)

    def is_usable(self) -> bool:
        """Whether the server has kept it open since the last answer."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Iterable[Buffers] = (),
        take: Take | None = None,
    ) -> Answer:
        """Send a request, whose headers say how its body is framed, and return the answer with its whole body.

        The body of a success is given to `take` if there is one, piece by piece; each piece is lent, not given.
        """
        if self._has_ended:
            self.close()
            self._socket, self._rest, self._has_ended = self._open(), b"", False
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.endpoint.authority}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if authorization := self.endpoint.authorize(target):
            lines.append(f"Authorization: {authorization}")
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
        self._has_ended = received.get("connection", "").lower() == "close"  # the next request needs another
        return Answer(status, received, bytes(kept))

    def _open(self) -> socket.socket:
        return connected(self.endpoint, socket.create_connection((self.endpoint.host, self.endpoint.port), TIMEOUT_S))

    def _send(self, buffers: Buffers) -> None:
        for part in _batches(buffers):
            size = sum(map(len, part))
            if isinstance(self._socket, ssl.SSLSocket):
                for buffer in part:
                    self._socket.sendall(buffer)
            else:
                sent = self._socket.sendmsg(part)
                if sent < size:
                    self._socket.sendall(b"".join(part)[sent:])
            self._traffic.sent_bytes += size

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
        buffer = memoryview(bytearray(min(missing, self.receive_bytes)))
        while missing:
            count = self._socket.recv_into(buffer, min(missing, self.receive_bytes))
            if count == 0:
                msg = f"the connection ended {missing} bytes before the end of a body"
                raise Refused(msg)
            take(buffer[:count])
            missing -= count
            self._traffic.received_bytes += count

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
        self._traffic.received_bytes += len(data)
        return data


def connected(endpoint: Endpoint, plain: socket.socket) -> socket.socket:
    """Set up a socket that is connected, with TLS where the endpoint asks for it."""
    plain.settimeout(None)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if plain.getpeername()[0] == "127.0.0.1":  # no way so long that it needs more; and sent is not yet arrived
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, COUNTED_BYTES)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the socket blocks, so one call sends it all
        plain.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", TIMEOUT_S, 0))
    return plain if endpoint.tls is None else endpoint.tls.wrap_socket(plain, server_hostname=endpoint.host)


def _batches(buffers: Buffers) -> Iterator[Buffers]:
    """Cut so that each is sent in a moment, whatever the link."""
    batch: list[memoryview] = []
    for buffer in buffers:
        for start in range(0, len(buffer), COUNTED_BYTES):
            batch.append(memoryview(buffer)[start : start + COUNTED_BYTES])
            if sum(map(len, batch)) >= COUNTED_BYTES:
                yield batch
                batch = []
    if batch:
        yield batch
