"""A request as handlers see it: its head, who makes it, and a body that nobody has received yet."""

from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import parse_qsl

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.fields import Fields, Parameters
from zotpy.http.server.proxies import Reached


class Held(Protocol):
    """Memory that a request holds."""

    def close(self) -> None:
        """Give it back."""
        ...


class BoundedRequest:
    """A request. It has the names of Quart's, and reads of its head only what is asked for."""

    __slots__ = (
        "_args",
        "body",
        "connection",
        "headers",
        "held",
        "http_version",
        "key",
        "login",
        "method",
        "path",
        "query",
        "raw_path",
        "reached",
        "route",
        "takes_files",
        "user",
    )

    def __init__(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: Fields,
        *,
        http_version: str = "1.1",
        connection: Any = None,
    ) -> None:
        """`raw_path` is the path without its percent signs. `connection` is ours, if the server is."""
        self.method = method
        self.raw_path = raw_path
        self.path = "/" + raw_path.lstrip("/")
        """The same with one slash at its beginning."""
        self.query = query
        self.headers = headers
        self.http_version = http_version
        self.connection = connection
        self.body = BoundedBody()
        self.reached = Reached()
        """How its client has reached us."""
        self.route = "none"
        """The rule that its path matches, such as `/v2/<path:name>/blobs/<digest>`."""
        self.user = ""
        """Who makes it; empty if they have not said."""
        self.key = ""
        """The id of the API key by which the caller has logged in, which is no secret; empty: by something else."""
        self.login = ""
        """How the caller is known, such as `htpasswd` or `anonymous`; empty if nobody asks, or if the login failed."""
        self.takes_files = False
        """Pieces of its answer may be in files (`zotpy.core.file_pieces`)."""
        self.held: Held | None = None
        """The memory that its body and its answer take. It is given back once the answer was sent, or cannot be
        sent."""
        self._args: Parameters | None = None

    @property
    def args(self) -> Parameters:
        """The parameters in its query, read as Quart reads them."""
        if self._args is None:
            self._args = Parameters(_parsed(self.query))
        return self._args

    @property
    def accept_mimetypes(self) -> MIMEAccept:
        """The media types that its client prefers."""
        return parse_accept_header(self.headers.get("Accept"), MIMEAccept)

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate, DER, that the other end of the connection has shown, and that was verified."""
        certificate: bytes | None = None if self.connection is None else self.connection.wire.peer_certificate
        return certificate

    @property
    def tls_version(self) -> str:
        """The version of TLS of the connection, such as `1.3`; empty without TLS."""
        version: str = "" if self.connection is None else self.connection.wire.tls_version
        return version

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers


def _parsed(query: str) -> Iterable[tuple[str, str]]:
    """Read names and values. Without escapes they are what is between the signs, which most queries are."""
    if "%" in query or "+" in query:
        return parse_qsl(query, keep_blank_values=True, errors="werkzeug.url_quote")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return [(name, value) for name, _, value in pairs]
