#!/bin/sh
# httpx: of a body in gzip that has several members, the first is decoded and the rest is dropped without an error.
#
# Expected: `Content-Encoding: gzip` is the format of RFC 1952 (RFC 9110, 8.4.1.3), and "a gzip file consists of a series of members" (2.2),
#   whose contents belong one behind the other. httpx promises that "any gzip and deflate HTTP response encodings will automatically be
#   decoded for you" (QuickStart, Binary Response Content). requests and Node return all of such a body; curl fails with an error.
# Seen: `response.content` is what the first member holds. Nothing is raised, though `Content-Length` was received in full.
#   It is known: https://github.com/encode/httpx/pull/3270
# For a registry: a service that joins compressed pieces, such as a store that answers with an object which pigz or bgzip wrote, gives a
#   client on httpx less than it has. zotpy asks upstreams for `identity`, and compares the digest of what comes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 requests==2.34.2
"$dir/venv/bin/python" - <<'PYTHON'
import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import httpx
import requests

PIECES = b'{"repositories": ["a", ', b'"b"]}'


class Server(BaseHTTPRequestHandler):
    """Answers with two pieces, each compressed by itself, in one body."""

    def do_GET(self) -> None:
        body = b"".join(gzip.compress(piece) for piece in PIECES)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
by_requests, by_httpx = requests.get(url, timeout=60).content, httpx.get(url).content
print("version: httpx", version("httpx"), "beside requests", version("requests"))
print("expected:", b"".join(PIECES).decode())
print("seen: requests:", by_requests.decode())
print("seen: httpx:", by_httpx.decode())
sys.exit(0 if (by_requests, by_httpx) == (b"".join(PIECES), PIECES[0]) else 1)
PYTHON
