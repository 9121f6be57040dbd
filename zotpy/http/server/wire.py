"""The way of the bytes to and from one client: plain or with TLS, in bites, at the client's pace."""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import trio

from zotpy.core.file_pieces import FilePiece
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.pace import Pace
from zotpy.http.server.patience import Patience
from zotpy.http.server.without_tls import ClientTLSStream
from zotpy.http.sockets import Read, Unsent, ensure_open, read, receive_here

TLS_SLICE_BYTES = 256 * 1024
"""How much is encrypted at once. As many bytes are held besides what is to be sent."""
ROOM_TRIES = 16
"""How many writes within the stall timeout look for what a client has taken that is too slow for whole bites."""
READS_IN_A_TURN = 2
"""How many bites of a fast client are read before other tasks get a turn: each takes about a millisecond."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """Sends and receives for one connection; one task sends at a time."""

    def __init__(self, stream: Any, sending: trio.Lock, config: ServerConfig) -> None:
        """Take the stream that a listener has accepted. A task that sends holds `sending`."""
        self._tls: ClientTLSStream | None = None
        if isinstance(stream, trio.SSLStream):
            context = stream.context if config.certificate is None else config.certificate.latest
            self._tls = ClientTLSStream(stream.transport_stream, context, server_side=True, sending=sending)
        self.stream: Any = stream if self._tls is None else self._tls
        """hypercorn does the handshake with it, and closes it."""
        self._failed_handshakes = config.failed_handshakes
        self._stall_s = config.send_stall_s
        self.pace = Pace(config.send_stall_s, config.contested_bytes)
        self.patience = Patience(config.receiving, config.pauses, config.silences)
        self._unsent = Unsent(config.sending)
        self._is_full = False
        """The last write was cut short: the socket has no room until the system says so."""
        self._has_ended = False
        """We have closed our side."""
        self._reads_in_turn = 0
        """How many reads have passed without a turn for others."""

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket of the connection."""
        transport: Any = self.stream if self._tls is None else self._tls.transport_stream
        opened: trio.socket.SocketType = transport.socket
        return opened

    @property
    def takes_files(self) -> bool:
        """Whether the system can send bytes of a file by itself: TLS encrypts them here."""
        return self._tls is None

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate, DER, if it has shown one that was verified in the handshake."""
        return None if self._tls is None else self._tls.peer_certificate()

    @property
    def tls_version(self) -> str:
        """The version of TLS, such as `1.3`; empty without TLS."""
        return "" if self._tls is None else self._tls.version

    def note_failed_handshake(self) -> None:
        """Let the log say why TLS could not begin. Of a client that sent nothing, such as a probe, it says nothing."""
        if self._tls is not None and self._tls.is_agreeing:
            self._failed_handshakes.note(self._tls.failure, self._tls.peer)

    async def receive(self, left_bytes: int | None, most_bytes: int, read_now: Read = read) -> bytes | bytearray:
        """Receive up to `most_bytes`, none at the end. `left_bytes` of a body are still to come (`None`: unknown).

        Without TLS `read_now` reads them from the socket.

        Once we have closed our side, wait for the client's end, and drop what comes before it.

        Raises `trio.BrokenResourceError`, `trio.ClosedResourceError` or `OSError`.
        """
        self._reads_in_turn = 0
        self.patience.take_any(self.socket)
        if self._has_ended:
            while await self._drop_some(most_bytes):
                pass
            return b""
        has_waited = False
        if left_bytes != 0:
            most_bytes = self.patience.most(most_bytes)
            has_waited = await self._gather(left_bytes, most_bytes)
        if self._tls is None:
            return await receive_here(self.socket, most_bytes, read_now, has_waited=has_waited)
        return await self._tls.receive_some(most_bytes, has_waited=has_waited)

    async def receive_soon(
        self, left_bytes: int | None, most_bytes: int, read_now: Read = read
    ) -> bytes | bytearray | None:
        """Receive a bite of a body, or what has come of it after a short wait, none at the end.

        `None`: nothing has come, or it is `receive` that must look, as with TLS. No wait is longer than a bite is
        waited for. So the caller needs no time limit of its own. Raises as `receive`.
        """
        if self._tls is not None or self._has_ended:
            return None
        most_bytes = self.patience.most(most_bytes)
        if not await self.patience.gather_soon(self.socket, left_bytes, most_bytes):
            return None
        self._reads_in_turn = 0
        try:
            return read_now(self.socket, most_bytes)
        except BlockingIOError:
            return None

    def receive_now(self, left_bytes: int | None, most_bytes: int, read_now: Read = read) -> bytes | bytearray:
        """Receive a bite of a body that is in the socket already; nothing if it is not, or if others are due.

        It gives no other task a turn. So after `READS_IN_A_TURN` of them `receive` comes first. With TLS it does
        nothing. Raises `trio.ClosedResourceError` or `OSError`.
        """
        if self._tls is not None or self._has_ended or self._reads_in_turn >= READS_IN_A_TURN:
            return b""
        most_bytes = self.patience.most(most_bytes)
        if not self.patience.is_bite_here(self.socket, left_bytes, most_bytes):
            return b""
        self._reads_in_turn += 1
        return read_now(self.socket, most_bytes)

    async def _drop_some(self, most_bytes: int) -> bool:
        """Receive bytes that are of no use any more, and say whether there were any: none is the end.

        TLS hands nothing out once we have ended our side.
        """
        if self._tls is not None:
            return await self._tls.drop_some(most_bytes)
        return len(await self.stream.receive_some(most_bytes)) > 0

    async def _gather(self, left_bytes: int | None, most_bytes: int) -> bool:
        """Wait for a bite of a body, unless TLS has bytes of it that are not in the socket any more.

        Return whether there was a wait.
        """
        if self._tls is not None:
            if self._tls.has_bytes:
                return False
            if left_bytes is not None:
                left_bytes = max(1, left_bytes - self._tls.unfinished_bytes)
        return await self.patience.gather(self.socket, left_bytes, most_bytes)

    def send_at_once(self, data: bytes) -> int:
        """Send what the socket has room for, without waiting, and return how much. With TLS that is left to `send`.

        No task may hold `sending` meanwhile. Raises `OSError`.
        """
        if self._tls is not None:
            return 0
        if sent_bytes := self._send_now(data):
            self.pace.note(sent_bytes, 0.0)
        return sent_bytes

    async def send(self, data: memoryview) -> None:
        """Send everything. The caller holds `sending`.

        Raises `trio.TooSlowError` if the client takes too little, or what `receive` raises.
        """
        if self._tls is None:
            await self.pace.send_all(self._send_some, data, self._send_now)
            return
        for start in range(0, len(data), TLS_SLICE_BYTES):
            encrypted = self._tls.encrypt(data[start : start + TLS_SLICE_BYTES])
            await self.pace.send_all(self._send_some, memoryview(encrypted), self._send_now)

    async def send_file(self, piece: FilePiece) -> None:
        """Send what the socket has room for, and note in the piece how much that was. Otherwise as `send`.

        The rest is for the next call: until then its bytes may have left the memory, and the caller looks.
        """
        if sent_bytes := self._send_file_now(piece):
            self.pace.note(sent_bytes, 0.0)
        else:
            await self.pace.send_once(partial(self._once_there_is_room, partial(self._send_file_now, piece)))

    async def _send_some(self, data: memoryview) -> int:
        return await self._once_there_is_room(partial(self._send_now, data))

    async def _once_there_is_room(self, send_now: Callable[[], int]) -> int:
        """Send what the socket has room for, once it has any.

        Other tasks get no turn before that, as with trio's own `send`: a task that answers waits for the next piece
        anyway.
        """
        while True:
            if self._is_full:
                await self._wait_for_room()
                self._is_full = False
            if (sent_bytes := send_now()) or not self._is_full:
                return sent_bytes

    def _send_now(self, data: bytes | memoryview) -> int:
        """Send what the socket has room for, without waiting."""
        if self._is_full or not data:
            return 0
        try:
            sent_bytes = os.write(self.socket.fileno(), data)
        except BlockingIOError:
            sent_bytes = 0
        self._is_full = sent_bytes < len(data)
        return sent_bytes

    def _send_file_now(self, piece: FilePiece) -> int:
        """Send what the socket has room for, without waiting. If the file gives nothing, none is sent, nor is it full.

        An error that is neither the socket's nor for certain the disk's is left to a read of the file.
        """
        if self._is_full:
            return 0
        try:
            piece.taken_bytes = os.sendfile(self.socket.fileno(), piece.descriptor, piece.start, piece.length)
        except BlockingIOError:
            self._is_full = True
        except ConnectionError:
            raise
        except OSError:
            return 0
        else:
            self._is_full = 0 < piece.taken_bytes < piece.length
        return piece.taken_bytes

    async def _wait_for_room(self) -> None:
        """Wait until the socket has room for a bite, or for a share of the stall timeout.

        In that time a slow client may take less than a bite, and yet as much as it must. Then the next write sends it.
        """
        ensure_open(self.socket)
        with trio.move_on_after(self._stall_s / ROOM_TRIES):
            await trio.lowlevel.wait_writable(self.socket)

    def answering_long(self) -> AbstractContextManager[None]:
        """Let the system hold more of a long answer."""
        return self._unsent.long_body(self.socket)

    async def end(self) -> None:
        """Close our side. Raises `trio.BrokenResourceError` or `trio.ClosedResourceError`."""
        self._has_ended = True
        await self.stream.send_eof()

    def reset(self) -> None:
        """Close the connection so that the client cannot take what it got for the whole."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()
