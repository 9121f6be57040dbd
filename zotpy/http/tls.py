"""TLS over a trio stream, many records at a time.

`trio.SSLStream` hands out one record, 16 KiB at most, for each turn of the event loop. Here a read takes all records
that are here, and a write gives all of its records to the socket at once. Only the documented parts of `ssl` are used.
"""

import os
import ssl
from contextlib import suppress

import trio

from zotpy.http.sockets import receive_here
from zotpy.http.tls_records import Records

RECEIVE_BYTES = 64 * 1024
"""How much to read from the socket at once if the caller asks for less."""
_RECORD_BYTES = 16 * 1024
_STEP_BYTES = 32 * 1024
"""Given to OpenSSL at once. Its buffers never shrink: a connection keeps as much as they once held, until its end."""


class TLSStream(trio.abc.Stream):
    """TLS on a TCP stream, as either side. The connection may end without `close_notify`, as with HTTPS everywhere."""

    def __init__(
        self,
        transport: trio.abc.Stream,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        server_side: bool = False,
        sending: trio.Lock | None = None,
    ) -> None:
        """Make a stream on which `do_handshake` comes first.

        Any task that sends encrypted bytes holds `sending` meanwhile.
        """
        self.transport_stream = transport
        self.is_agreeing = False
        """Whether the peer has sent something of the handshake, and more is to come."""
        self._sending = sending or trio.Lock()
        self._has_bytes = False
        self._received = memoryview(b"")
        """Encrypted bytes that OpenSSL does not have yet."""
        self._records = Records()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )

    async def do_handshake(self) -> None:
        """Agree on keys. Raises `trio.BrokenResourceError`, with TLS's error as its cause."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not self._feed():
                    await self._receive(RECEIVE_BYTES)
                    self.is_agreeing |= self._feed()
                continue
            except ssl.SSLError as error:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._flush()  # the alert that tells the peer
                raise trio.BrokenResourceError from error
            self.is_agreeing = False
            await self._flush()
            return

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that both sides agreed on, if any."""
        return self._object.selected_alpn_protocol()

    def peer_certificate(self) -> bytes | None:
        """Return the certificate of the other side, DER, if it has shown one that was verified."""
        return self._object.getpeercert(binary_form=True)

    @property
    def version(self) -> str:
        """The version of the protocol, such as `1.3`; empty before the handshake."""
        return (self._object.version() or "").removeprefix("TLSv")

    @property
    def has_bytes(self) -> bool:
        """Whether the last read left bytes here: the next one then does not wait."""
        return self._has_bytes

    @property
    def unfinished_bytes(self) -> int:
        """How much of an incomplete record is here: the socket has that much less of the rest of a body."""
        return self._records.unfinished_bytes

    @property
    def is_empty(self) -> bool:
        """Whether everything that was received was handed out."""
        return not (self._may_have_more() or self.unfinished_bytes)

    async def receive_some(self, max_bytes: int | None = None, *, has_waited: bool = False) -> bytes:
        """Return the bytes of all records that are here, up to `max_bytes`; none at the end. It waits for some.

        `has_waited`: the caller has just waited until the socket had bytes.

        Raises `trio.BrokenResourceError` or `trio.ClosedResourceError`.
        """
        most_bytes = max_bytes or RECEIVE_BYTES
        while True:
            pieces, is_over = self._decrypt(most_bytes)
            if self._outgoing.pending:  # an answer of TLS itself, such as new keys
                await self._flush()
            if pieces or is_over:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            await self._receive(max(most_bytes, RECEIVE_BYTES), has_waited=has_waited)
            has_waited = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send. Raises `trio.BrokenResourceError` or `trio.ClosedResourceError`."""
        async with self._sending:
            await self.transport_stream.send_all(self.encrypt(data))

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return what is to be sent for `data`; the caller holds `sending`. Raises `trio.BrokenResourceError`."""
        view = memoryview(data)
        encrypted: list[bytes] = []
        try:
            while view:
                view = view[self._object.write(view[:_STEP_BYTES]) :]
                encrypted.append(self._outgoing.read())
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error
        return encrypted[0] if len(encrypted) == 1 else b"".join(encrypted)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the transport has room."""
        await self.transport_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End our side: the peer is told, and what it still sends can be received by `drop_some`."""
        self._say_farewell()
        if isinstance(self.transport_stream, trio.SocketStream):
            await self.transport_stream.send_eof()

    async def drop_some(self, max_bytes: int) -> bool:
        """Receive what nobody wants any more; `False`: the peer has ended its side. Raises what `receive_some` does."""
        return len(await self.transport_stream.receive_some(max_bytes)) > 0

    async def aclose(self) -> None:
        """Close at once. The peer gets `close_notify` if the socket has room for it."""
        self._say_farewell()
        await self.transport_stream.aclose()

    def _say_farewell(self) -> None:
        """Send `close_notify`, unless the socket has no room or is closed: this waits for nothing."""
        with suppress(ssl.SSLError):
            self._object.unwrap()
        farewell = self._outgoing.read()
        if farewell and isinstance(self.transport_stream, trio.SocketStream):
            with suppress(OSError, ValueError):
                os.write(self.transport_stream.socket.fileno(), farewell)

    def _decrypt(self, most_bytes: int) -> tuple[list[bytes], bool]:
        """Return the bytes of the records that are here, up to `most_bytes`, and whether no more will come."""
        pieces: list[bytes] = []
        self._has_bytes = False
        while most_bytes > 0:
            try:
                piece = self._object.read(min(most_bytes, _RECORD_BYTES))
            except ssl.SSLWantReadError:
                if self._feed():
                    continue
                return pieces, False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return pieces, True
            except ssl.SSLError as error:
                raise trio.BrokenResourceError from error
            if not piece:
                return pieces, True
            pieces.append(piece)
            most_bytes -= len(piece)
        self._has_bytes = self._may_have_more()
        return pieces, False

    def _may_have_more(self) -> bool:
        """Say whether bytes are here that are no part of a record which is not complete. It may be wrong about yes."""
        return bool(self._object.pending() or self._incoming.pending or self._received)

    def _feed(self) -> bool:
        """Give OpenSSL the next of the encrypted bytes that are here, and say whether there were any."""
        if not self._received:
            return False
        self._incoming.write(self._received[:_STEP_BYTES])
        self._received = self._received[_STEP_BYTES:] or memoryview(b"")  # lets go of what is used up
        return True

    async def _receive(self, most_bytes: int, *, has_waited: bool = False) -> None:
        received: bytes | bytearray
        if isinstance(self.transport_stream, trio.SocketStream):
            try:
                received = await receive_here(self.transport_stream.socket, most_bytes, has_waited=has_waited)
            except OSError as error:
                raise trio.BrokenResourceError from error
        else:
            received = await self.transport_stream.receive_some(most_bytes)
        if received:
            self._records.note(received)
            self._received = memoryview(received)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        async with self._sending:
            if data := self._outgoing.read():
                await self.transport_stream.send_all(data)
