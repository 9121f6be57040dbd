"""The body of an ordinary request, received by the task that reads it, in the framing that its head names."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11
import trio
from h11._readers import ContentLengthReader

from zotpy.http import http1
from zotpy.http.chunks import JoiningChunkedReader, PieceBuffer
from zotpy.http.sockets import LEAST_BITE_BYTES, MOST_BITE_BYTES, read, received_bytes

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveEvent

    from zotpy.http.server.connections import BoundedConnection

MOST_CHUNKS = 256
"""If a read has brought more, others get a turn before the next one: each of them takes some microseconds."""
_GONE: "ASGIReceiveEvent" = {"type": "http.disconnect"}


class Incoming:
    """What comes behind a head: the body, and perhaps the next request. h11's readers find where the body ends."""

    def __init__(
        self, connection: "BoundedConnection", length: int | None, received: bytes, on_end: Callable[[], None]
    ) -> None:
        """Begin with what was received behind the head. `length`: that of the body, `None` if it comes in chunks.

        `on_end` is called when all of the body was received.
        """
        self._connection = connection
        self._buffer = PieceBuffer(connection.config.h11_max_incomplete_size)
        self._buffer += received
        self._reader: Any = JoiningChunkedReader(is_bounded=True) if length is None else ContentLengthReader(length)
        self._length = length
        """`None`: the body comes in chunks."""
        self._on_end = on_end
        self._chunks_before = 0
        """How many chunks had come before the last read."""
        self._joined = bytearray()
        """The bytes of chunks that the last read has put beside one another."""
        self.has_ended = False
        """All of the body was received."""
        self.fault: int | None = None
        """The status that refuses what is no chunk."""
        self.left = trio.Event()
        """The client has closed its side."""
        self._ready = self._next_event()
        """What is here of the body: if that is none, no handler needs to run."""

    @property
    def behind(self) -> bytes:
        """What was received behind the body, or of it, and handed to nobody."""
        return bytes(self._buffer)

    @property
    def has_surplus(self) -> bool:
        """Whether so much came behind the body that its request is the last one of the connection."""
        return len(self._buffer) > http1.MOST_AHEAD_BYTES

    async def receive(self) -> "ASGIReceiveEvent":
        """Receive the next piece, as ASGI says it. Behind the end, wait until the client has left."""
        if self.has_ended:
            await self.left.wait()
        while not self.left.is_set() and self.fault is None:
            if (message := self.at_hand()) is not None:
                return message
            if self.fault is None:
                await self._receive_more()
        return _GONE

    def at_hand(self) -> "ASGIReceiveEvent | None":
        """Return the next piece out of what was received. `None`: it is not here, or no piece will come any more."""
        if self._is_over:
            return None
        event, self._ready = self._ready or self._next_event(), None
        return None if event is None else self._told(event)

    def here(self) -> "ASGIReceiveEvent | None":
        """Return the next piece, if it was received already, or if a bite of it is in the socket.

        `None`: as of `at_hand`, or it is time that others get a turn.
        """
        message = self.at_hand()
        if message is not None or self._is_over:
            return message
        if self._chunks - self._chunks_before > MOST_CHUNKS:
            return None
        data = self._connection.receive_of_body_now(self._left_bytes, self._reach_bytes, self._read)
        if not data:
            return None
        self._take(data)
        return self.at_hand()

    async def soon(self) -> "ASGIReceiveEvent | None":
        """Return the next piece if some of it comes while a bite is waited for: that takes less than a second.

        `here` has just found none. `None`: it has not come, or no piece will come any more.
        """
        if self._is_over:
            return None
        data = await self._connection.receive_of_body_soon(self._left_bytes, self._reach_bytes, self._read)
        if data:
            self._take(data)
        elif data is not None:
            self.left.set()
            return _GONE
        return self.at_hand()

    def _next_event(self) -> Any:
        """Return the next event out of what was received, or `None` if more is needed."""
        try:
            return self._reader(self._buffer)
        except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:  # the latter: a trailer without end
            self.fault = error.error_status_hint
            return None

    def _told(self, event: Any) -> "ASGIReceiveEvent":
        is_last = isinstance(event, h11.EndOfMessage) or (self._length is not None and not self._left_bytes)
        if is_last:
            self.has_ended = True
            self._on_end()
        data = event.data if isinstance(event, h11.Data) else b""
        return {"type": "http.request", "body": data, "more_body": not is_last}

    @property
    def _is_over(self) -> bool:
        """Whether no piece will come any more."""
        return self.has_ended or self.left.is_set() or self.fault is not None

    @property
    def _left_bytes(self) -> int | None:
        return None if self._length is None else self._reader._remaining  # noqa: SLF001 - h11 does not tell

    @property
    def _reach_bytes(self) -> int:
        """How much to receive at once: up to a multiple of a bite in the body, or a little behind it to the next one.

        A part of an upload is a whole number of MiB. So it seldom ends within a piece, which would have to be cut and
        copied.
        """
        left_bytes = self._left_bytes or 0
        taken_bytes: int = self._reader.body_bytes if self._length is None else self._length - left_bytes
        reach_bytes = MOST_BITE_BYTES - taken_bytes % MOST_BITE_BYTES
        if reach_bytes < LEAST_BITE_BYTES:
            reach_bytes += MOST_BITE_BYTES
        if self._length is not None:
            return reach_bytes
        chunked: JoiningChunkedReader = self._reader
        return chunked.with_lines(reach_bytes)

    async def _receive_more(self) -> None:
        data = await self._connection.receive_of_body(self._left_bytes, self._reach_bytes, self._read)
        if data:
            self._take(data)
        else:
            self.left.set()

    @property
    def _chunks(self) -> int:
        return self._reader.chunks if self._length is None else 0

    def _read(self, opened: trio.socket.SocketType, most_bytes: int) -> bytes | bytearray:
        """Read what is here: chunks beside one another, if they are alike."""
        if self._length is not None or len(self._buffer):
            return read(opened, most_bytes)
        reader: JoiningChunkedReader = self._reader
        room = reader.room(received_bytes(opened), most_bytes)
        if room is None:
            return read(opened, most_bytes)
        self._chunks_before = self._chunks
        joined, rest = reader.receive(room, opened.fileno())
        if not joined:
            return rest
        self._joined = joined
        self._buffer += rest
        return joined

    def _take(self, data: bytes | bytearray) -> None:
        """Take what was read. `_buffer` has what came behind `_joined`."""
        if self._joined:
            self._ready, self._joined = h11.Data(data=self._joined), bytearray()  # type: ignore[arg-type]  # any buffer does
        elif self._length is not None and len(data) <= self._reader._remaining and not len(self._buffer):  # noqa: SLF001
            self._reader._remaining -= len(data)  # noqa: SLF001 - as it would do, in more steps
            self._ready = h11.Data(data=data)  # type: ignore[arg-type]  # any buffer does
        else:
            self._chunks_before = self._chunks
            self._buffer += data
