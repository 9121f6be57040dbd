"""Who makes a request, by the client certificate of its connection, or by the one that a trusted proxy passes on."""

import base64
from dataclasses import dataclass

from zotpy.auth.certificates import Naming, Subject, subject_of, subject_of_forwarded
from zotpy.auth.permission import Identity
from zotpy.core.errors import Unauthorized
from zotpy.http.server.bounded_request import BoundedRequest

LONGEST_HEADER = 16 * 1024


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """The `zotpy.web.login.Recognizer` of certificates."""

    naming: Naming
    proxy_header: str | None = None
    """`Client-Cert` or `X-Forwarded-Client-Cert`; `None`: no header counts."""

    async def recognize(self, request: BoundedRequest) -> Identity | None:
        """Return whose certificate it is. `None`: the client has shown none.

        Anybody can send a header, so it counts only if the peer is a trusted proxy. The certificate of the connection
        to a trusted proxy is the proxy's own, and that of none of its clients, so it does not count. Raises
        `Unauthorized`.
        """
        if request.reached.is_by_proxy:
            subject = self._forwarded(request)
        else:
            der = request.peer_certificate
            subject = None if der is None else subject_of(der)
        return None if subject is None else self.naming.identify(subject)

    def _forwarded(self, request: BoundedRequest) -> Subject | None:
        if self.proxy_header is None:
            return None
        values = [value for value in request.headers.getlist(self.proxy_header) if value.strip()]
        if not values:
            return None
        if len(values) > 1:
            msg = f"the request has more than one {self.proxy_header}: let the proxy remove what clients send"
            raise Unauthorized(msg)
        if self.proxy_header == "Client-Cert":
            return subject_of(_bytes_of(values[0].strip()))
        return subject_of_forwarded(values[0])


def _bytes_of(text: str) -> bytes:
    """Read a sequence of bytes (RFC 8941, section 3.3.5), as RFC 9440 has it. Raises `Unauthorized`."""
    is_marked = 1 < len(text) <= LONGEST_HEADER and text[0] == text[-1] == ":"
    try:
        return base64.b64decode(text[1:-1] if is_marked else "?", validate=True)
    except ValueError as error:
        msg = "Client-Cert cannot be read: let the proxy write the certificate in base64, between two colons (RFC 9440)"
        raise Unauthorized(msg) from error
