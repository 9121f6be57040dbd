"""TLS with a client, and the answer to a client that speaks plain HTTP at a port with TLS.

A connection that ends without a word tells nobody what is wrong. Go's server answers in the same way.
"""

from contextlib import suppress

import trio

from zotpy.http.server.envelope import error_body
from zotpy.http.server.handshakes import is_plain_http
from zotpy.http.tls import TLSStream

END_S = 2.0
"""How long a client has to close its side once we have closed ours. What it still sends is dropped."""
_DROP_BYTES = 64 * 1024
_BODY = error_body(
    ("UNSUPPORTED", "this port speaks HTTPS, and the request came without TLS: use https:// in the address", None)
)
ANSWER = b"\r\n".join(
    (
        b"HTTP/1.1 400 ",
        b"content-type: application/json",
        b"content-length: %d" % len(_BODY),
        b"connection: close",
        b"",
        _BODY,
    )
)


class ClientTLSStream(TLSStream):
    """TLS with a client of ours."""

    failure: BaseException | None = None
    """Why the handshake failed, if it did so before its time was over."""
    peer = ""
    """The address of the client; empty if it has none."""

    async def do_handshake(self) -> None:
        """Agree on keys. Answer a client that speaks plain HTTP. Raises as `TLSStream`."""
        self.peer = _address_of(self.transport_stream)
        try:
            await super().do_handshake()
        except trio.BrokenResourceError as error:
            self.failure = error.__cause__ or error
            if is_plain_http(self.failure):
                await self._refuse()
            raise

    async def _refuse(self) -> None:
        """Send the answer, and wait until the client has it: a reset because of unread bytes could overtake it."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(END_S):
            await self.transport_stream.send_all(ANSWER)
            await self.send_eof()
            while await self.drop_some(_DROP_BYTES):
                pass


def _address_of(stream: trio.abc.Stream) -> str:
    """Return the address at the other end. Once that end has left, the system does not know it any more."""
    if isinstance(stream, trio.SocketStream):
        with suppress(OSError):
            address = stream.socket.getpeername()
            return str(address[0]) if isinstance(address, tuple) else ""
    return ""
