#!/bin/sh
# httpx: `params` take the place of a URL's own query, also the `params` of a client: what is sent lacks the parameters of the URL.
#
# Expected: `client.put(location, params={"digest": ...})` adds a parameter to those that the URL has, as requests does: httpx names one
#   difference in this (Requests Compatibility Guide, Query Parameters), which is `None`. `Client(params=...)` is documented as "query
#   parameters to include in request URLs", beside what they have.
# Seen: since 0.28 the query of the URL is gone in both cases. An empty dict removes it as well.
#   It is known: https://github.com/encode/httpx/issues/3433
# For a registry: the Location of an upload and the link to a next page have a query that must come back. A client on httpx that adds its
#   digest by `params` loses the upload's state, and is told that the upload does not exist. zotpy builds URLs without `params`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 requests==2.34.2
"$dir/venv/bin/python" - <<'PYTHON'
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import httpx
import requests

queries: list[str] = []


class Registry(BaseHTTPRequestHandler):
    """Notes the query of each request."""

    def do_PUT(self) -> None:
        queries.append(self.path.partition("?")[2])
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
location = f"http://127.0.0.1:{server.server_port}/v2/app/blobs/uploads/1?_state=abc"
with_session = requests.Session()
with_session.params = {"digest": "d"}
ways: dict[str, Callable[[], object]] = {
    "requests, params": lambda: requests.put(location, params={"digest": "d"}, timeout=60),
    "requests, params of a session": lambda: with_session.put(location, timeout=60),
    "httpx, params": lambda: httpx.put(location, params={"digest": "d"}),
    "httpx, params of a client": lambda: httpx.Client(params={"digest": "d"}).put(location),
    "httpx, no params in a dict": lambda: httpx.put(location, params={}),
}
for way in ways.values():
    way()
seen = dict(zip(ways, queries, strict=True))
print("version: httpx", version("httpx"), "beside requests", version("requests"))
print("expected: _state=abc&digest=d with params, _state=abc without")
for name, query in seen.items():
    print(f"seen: {name}: {query or 'no query'}")
sys.exit(0 if queries == ["_state=abc&digest=d"] * 2 + ["digest=d"] * 2 + [""] else 1)
PYTHON
