#!/bin/sh
# oras-py: a request is repeated up to five times at 500, and never at 429 or 503, though these say when to come again.
#
# Expected: the requests of oras-py, all of which go through its decorator `retry(attempts=5)`, are repeated at least at 429 and
#   503 with Retry-After, by which HTTP (RFC 9110, 10.2.3 and 15.6.4; RFC 6585, 4) asks for that, as crane, oras and regctl do.
# Seen: one 500 and then 200 is a success; one 429 or 503 with `Retry-After: 1`, then 200, is an error after a single request.
# For a registry: an answer that asks a client to come again ends its push, so trouble of a second or two is better waited out
#   before there is an answer at all.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check oras==0.2.43
HOME=$dir "$dir/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import oras.client

statuses: list[int] = []
asked = 0


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        global asked
        asked += 1
        status = statuses.pop() if statuses else 200
        body = json.dumps({"name": "app", "tags": ["v1"]} if status == 200 else {"errors": []}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status != 200:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()


def requests_until_success(status: int) -> int:
    """Answer once with this status, then well; return how many requests it took, 0 without success."""
    global asked
    asked = 0
    statuses[:] = [status]
    try:
        tags = oras.client.OrasClient(insecure=True).get_tags(f"127.0.0.1:{server.server_port}/app")
    except Exception:
        return 0
    return asked if tags == ["v1"] else 0


seen = {status: requests_until_success(status) for status in (500, 503, 429)}
print("version: oras", importlib.metadata.version("oras"))
print("expected: two requests, and success, after one 500, one 503 and one 429 each")
print("seen:", ", ".join(f"{status}: {f'{n} requests' if n else 'an error'}" for status, n in seen.items()))
sys.exit(0 if seen == {500: 2, 503: 0, 429: 0} else 1)
PYTHON
