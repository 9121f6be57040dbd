#!/bin/sh
# requests and urllib3: a PUT whose body is a generator is repeated, or redirected, with an empty body, and succeeds.
#
# Expected: a body that cannot be sent again ends in an error. requests has one for that, `UnrewindableBodyError`, and so has urllib3
#   ("urllib3 encountered an error when trying to rewind a body"). RFC 9110 (15.4.8) has 307 keep the method and with it the content.
#   httpx raises `StreamConsumed`. requests describes generators as bodies (Advanced Usage, Chunk-Encoded Requests).
# Seen: after 307, or after 503 with urllib3's `Retry`, which requests takes as `max_retries`, the second PUT has no bytes. The
#   generator was used up, and nobody notices. The answer to that PUT is the result: 200. The body is lost without an error.
#   For files behind redirections urllib3 does the same: https://github.com/urllib3/urllib3/issues/5181
# For a registry: a client that streams a layer to a service which repeats or redirects PUTs, as S3 does for new buckets, may store an
#   empty object. The digest of the last PUT protects an upload of OCI, and a checksum sent in a header protects an object of S3.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1
"$dir/venv/bin/python" - <<'PYTHON'
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import httpx
import requests
import urllib3
from requests.adapters import HTTPAdapter

PIECES = [b"one", b"two"]
received: list[tuple[str, bytes]] = []


class Server(BaseHTTPRequestHandler):
    """Redirects a PUT of /moved, and answers the first PUT of /busy with 503."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        content = b""
        while (line := self.rfile.readline()).strip() not in (b"", b"0"):
            content += self.rfile.read(int(line, 16) + 2)[:-2]
        if not line:
            return  # the client has left
        self.rfile.readline()
        received.append((self.path, content))
        is_busy = [path for path, _ in received] == ["/busy"]
        self.send_response(307 if self.path == "/moved" else 503 if is_busy else 200)
        self.send_header("Location", "/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def body() -> Iterator[bytes]:
    yield from PIECES


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
retry = urllib3.Retry(total=2, status_forcelist=[503])
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=retry))
pool = urllib3.PoolManager()
seen = {}
for name, send in {
    "requests, 307": lambda: session.put(f"{url}/moved", data=body(), timeout=60).status_code,
    "requests, 503": lambda: session.put(f"{url}/busy", data=body(), timeout=60).status_code,
    "urllib3, 307": lambda: pool.request("PUT", f"{url}/moved", body=body()).status,
    "urllib3, 503": lambda: pool.request("PUT", f"{url}/busy", body=body(), retries=retry).status,
    "httpx, 307": lambda: httpx.put(f"{url}/moved", content=body(), follow_redirects=True).status_code,
}.items():
    received.clear()
    try:
        outcome = send()
    except Exception as error:
        outcome = type(error).__name__
    seen[name] = (outcome, [content for _, content in received])
print("version:", *(f"{name} {version(name)}" for name in ("requests", "urllib3", "httpx")))
print("expected: an error, or b'onetwo' each time")
for name, (outcome, contents) in seen.items():
    print(f"seen: {name}: {outcome}, bodies {contents}")
emptied = (200, [b"onetwo", b""])
as_found = {name: emptied for name in seen} | {"httpx, 307": ("StreamConsumed", [b"onetwo"])}
sys.exit(0 if seen == as_found else 1)
PYTHON
