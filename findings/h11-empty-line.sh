#!/bin/sh
# h11: an empty line between two requests of a connection is an error that ends it, where HTTP asks a server to pass over it.
#
# Expected: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF) received
#   prior to the request-line" (RFC 9112, 2.2), since old clients send one behind a body. nginx does, and
#   so does Node's parser (llhttp).
# Seen: h11's server raises RemoteProtocolError, "no request line received", for one CRLF before the first request or the next, and
#   takes nothing more on that connection. Servers built on h11 answer 400 to a request that is right.
# For a registry: a push whose client, or whose old proxy, ends a body with a CRLF fails at the request after it, by a status that
#   blames that one. Empty lines have to be dropped before h11 sees them.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check h11==0.16.0 httptools==0.6.4
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import h11
import httptools

PUT = b"PUT /blob HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"


def by_h11(stream: bytes) -> str:
    """Return the methods of the requests that h11 sees, and its error."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    seen = []
    try:
        for _ in range(2):
            while type(event := connection.next_event()) is not h11.EndOfMessage:
                if isinstance(event, h11.Request):
                    seen.append(event.method.decode())
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        seen.append(f"{error} ({error.error_status_hint})")
    return ", ".join(seen)


class Methods:
    """What httptools calls as it parses: keeps the methods of whole requests."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.seen: list[str] = []

    def on_message_complete(self) -> None:
        self.seen.append(self.parser.get_method().decode())


def by_httptools(stream: bytes) -> str:
    """Return the methods of the requests that the parser of Node sees."""
    methods = Methods()
    methods.parser.feed_data(stream)
    return ", ".join(methods.seen)


plain, empty = by_h11(PUT + GET), by_h11(PUT + b"\r\n" + GET)
others = by_httptools(PUT + b"\r\n" + GET)
print("version: h11", h11.__version__, "beside httptools", httptools.__version__)
print("expected: PUT, GET, with an empty line between them as without it")
print(f"seen: {plain} without; {empty} with one; httptools, the parser of Node, sees {others} with one")
sys.exit(0 if (plain, others) == ("PUT, GET", "PUT, GET") and empty.startswith("PUT, ") and "no request line" in empty else 1)
PYTHON
