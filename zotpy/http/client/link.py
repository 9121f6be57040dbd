"""Bytes to and from the service, over one socket, with or without TLS.

A request takes as few system calls and turns of trio's loop as the socket has room for. Its head and the pieces of its
body go out together (`writev`), at once and without a copy. trio's own methods let all other tasks run before each read
and after each write. Bodies are read up to 1 MiB at once, because each read costs a turn.
"""

import math
import os
import select
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

import trio

from zotpy.core.pieces import Buffer
from zotpy.http.client.service import Service
from zotpy.http.client.time_limits import TOO_SLOW, AttemptTime, no_answer_due, time_limit
from zotpy.http.client.transport_errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from zotpy.http.sockets import LeastReadable, Unsent, received_bytes
from zotpy.http.tls import TLSStream

Taken = TypeVar("Taken", bytes, int)
LEAST_BYTES = 2 * 1024 * 1024
"""In the middle of a long body, a read waits for more rather than return fewer bytes than this."""
AT_THE_END_BYTES = 64 * 1024
"""If no more than this is left behind `LEAST_BYTES`, any bytes are read, or all that is left is waited for: see
`Service.gather_s`."""
TLS_SLICE_BYTES = 1024 * 1024
BUFFERS_AT_ONCE = 256
"""Linux takes up to 1,024 in one call. More than this never fit into a socket anyway."""
LONG_BYTES = 1024 * 1024
"""A request of this length is a part or a whole blob."""


class Link:
    """One connection to the service, which is there."""

    def __init__(self, service: Service, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        """Use what `Service.connect` returned. `aclose` closes it."""
        self.socket = socket
        self.secured = stream if isinstance(stream, TLSStream) else None
        """With TLS. Otherwise the socket carries the bytes as they are."""
        self._stream = stream
        self._service = service
        self._least = LeastReadable()
        self._is_eager = False
        """The first bytes of a body are wanted as soon as they are here."""
        self._unsent = Unsent(service.sent)
        self._poll = select.poll()
        self._poll.register(socket.fileno(), select.POLLIN)

    def has_news(self) -> bool:
        """Say whether the socket has bytes to read, or the end of the connection."""
        return bool(self._poll.poll(0))

    def let_any_byte_wake(self) -> None:
        """Tell the system that no more of an answer is waited for."""
        self._least.ask(self.socket, 1)

    async def aclose(self) -> None:
        """Close at once: it waits for nothing."""
        await trio.aclose_forcefully(self._stream)

    async def send(self, buffers: Sequence[Buffer], length: int, time: AttemptTime | None = None) -> None:
        """Send a request of this length. At most `silence_s` may pass without progress.

        The system holds more of a long one, so that each turn of the event loop sends many bytes. Raises `WriteError`,
        `WriteTimeout`.
        """
        self._is_eager = self._service.gather_s < math.inf
        left = deque(buffers)
        if length < LONG_BYTES:
            if self.secured is not None or not self._write(left):
                await self._send_on(left, time)
        else:
            try:
                with self._unsent.long_body(self.socket):
                    if self.secured is not None or not self._write(left):
                        await self._send_on(left, time)
            except OSError as error:
                raise WriteError(str(error)) from error

    async def _send_on(self, left: deque[Buffer], time: AttemptTime | None) -> None:
        """Send what the socket had no room for; with TLS all of it."""
        with no_answer_due(time):
            if self.secured is not None:
                await self._encrypt_all(left)
            else:
                await self._write_on(left)

    async def _write_on(self, left: deque[Buffer]) -> None:
        """Write what the socket had no room for."""
        with time_limit(WriteTimeout, WriteError, self._service.silence_s) as scope:
            while True:
                await trio.lowlevel.wait_writable(self.socket)
                if self._write(left):
                    return
                scope.deadline = trio.current_time() + self._service.silence_s

    def _write(self, left: deque[Buffer]) -> bool:
        """Give the system as much as it takes now, and say whether it took all. What it took is dropped."""
        try:
            sent = os.writev(self.socket.fileno(), left if len(left) <= BUFFERS_AT_ONCE else _first(left))
        except BlockingIOError:
            return False
        except OSError as error:
            raise WriteError(str(error)) from error
        while sent:
            if sent < len(left[0]):
                left[0] = memoryview(left[0])[sent:]
                return False
            sent -= len(left.popleft())
        return not left

    async def _encrypt_all(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), TLS_SLICE_BYTES):
                with time_limit(WriteTimeout, WriteError, self._service.silence_s):
                    await self._stream.send_all(view[start : start + TLS_SLICE_BYTES])

    def read(self, most_bytes: int, left_bytes: int = 0, time: AttemptTime | None = None) -> Awaitable[bytes]:
        """Wait for bytes, and return those that are here, none at the end. `left_bytes` have to come, 0 if unknown.

        `time` limits the wait, if it is given. Raises `ReadError`, `ReadTimeout`. It is no coroutine itself: each wait
        passes through all coroutines above it.
        """
        if self.secured is not None:
            return self._read_records(self.secured, most_bytes, left_bytes, time)
        return self._take(left_bytes, lambda: os.read(self.socket.fileno(), most_bytes), time)

    def read_into(self, room: memoryview, left_bytes: int, time: AttemptTime | None = None) -> Awaitable[int]:
        """Wait for bytes, and put those that are here into `room`: how many, 0 at the end. Not with TLS. As `read`."""
        return self._take(left_bytes, lambda: os.readv(self.socket.fileno(), [room]), time)

    async def _read_records(
        self, secured: TLSStream, most_bytes: int, left_bytes: int, time: AttemptTime | None
    ) -> bytes:
        with no_answer_due(time):
            await self._gather_records(secured, left_bytes)
            with time_limit(ReadTimeout, ReadError, self._service.silence_s):
                return await secured.receive_some(most_bytes)

    async def _take(self, left_bytes: int, take: Callable[[], Taken], time: AttemptTime | None) -> Taken:
        """Wait for bytes, and take those that are here. Raises as `read`."""
        while True:
            is_late = await self._wait(left_bytes, time)
            try:  # also after the timeout: what came in time is taken, even if it is little
                return take()
            except BlockingIOError:
                _require(not is_late)
            except OSError as error:
                raise ReadError(str(error)) from error

    async def _wait(self, left_bytes: int, time: AttemptTime | None) -> bool:
        """Wait until the socket has bytes, or until it was silent for too long, and say that."""
        try:
            if left_bytes or self._least.least_bytes > 1:  # at a head one byte is enough
                self._ask_for_many(left_bytes)
            if time is not None and self._least.least_bytes == 1:
                await time.until_readable(self.socket)
                return False
            with no_answer_due(time):
                if await self._gather():
                    return False
                with trio.move_on_after(self._service.silence_s) as scope:
                    await trio.lowlevel.wait_readable(self.socket)
        except (OSError, trio.ClosedResourceError) as error:
            raise ReadError(str(error)) from error
        return scope.cancelled_caught

    async def _gather_records(self, secured: TLSStream, left_bytes: int) -> None:
        """Wait until the socket holds many of TLS's records, if many are to come and none is here.

        Afterwards any byte wakes us: the stream itself waits for the rest of a record, which may be the last one.
        """
        if secured.has_bytes:
            return
        with time_limit(ReadTimeout, ReadError, math.inf):
            self._ask_for_many(left_bytes)
            is_readable = await self._gather()
            if self._least.least_bytes == 1:
                return
            if not is_readable:
                with trio.move_on_after(self._service.silence_s) as scope:
                    await trio.lowlevel.wait_readable(self.socket)
                _require(not scope.cancelled_caught or received_bytes(self.socket) > 0)
            self._least.ask(self.socket, 1)

    def _ask_for_many(self, left_bytes: int) -> None:
        """Let the system wake us when much is here to read, if much is to come; or all that is left of a body."""
        least_bytes = 1
        if not self._is_eager:
            if left_bytes > LEAST_BYTES + AT_THE_END_BYTES:
                least_bytes = LEAST_BYTES
            elif self._service.gather_s < math.inf:
                here_bytes = 0 if self.secured is None else self.secured.unfinished_bytes
                least_bytes = max(1, min(left_bytes - here_bytes, LEAST_BYTES))
        self._least.ask(self.socket, least_bytes)
        if left_bytes:
            self._is_eager = False

    async def _gather(self) -> bool:
        """Wait for many bytes, if they were asked for, as long as the service says. After that any are enough.

        Say whether the socket is readable. Such a wait must not be repeated: the system ends it also with fewer bytes,
        while it has no room for more, and has this room a moment later.
        """
        if self._least.least_bytes > 1 and self._service.gather_s < math.inf:
            with trio.move_on_after(self._service.gather_s):
                await trio.lowlevel.wait_readable(self.socket)
                return True
            self._least.ask(self.socket, 1)
        return False


def _first(left: deque[Buffer]) -> list[Buffer]:
    return list(islice(left, BUFFERS_AT_ONCE))


def _require(in_time: bool) -> None:  # noqa: FBT001
    if not in_time:
        raise ReadTimeout(TOO_SLOW)
