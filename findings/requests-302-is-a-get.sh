#!/bin/sh
# requests and httpx: a DELETE or a PUT that is redirected with 302 arrives as GET, and its success is reported.
#
# Expected: the method stays. At 302 a client may turn POST into GET "for historical reasons" (RFC 9110, 15.4.3), and no other method. Both
#   libraries have the comment "Do what the browsers do", and these change POST alone (Fetch standard, HTTP-redirect fetch). At 301
#   both libraries keep DELETE and PUT.
# Seen: after 302 a DELETE, a PUT and a PATCH go on as GET, without their body. The result is the 200 of that GET. urllib3, on which
#   requests is built, keeps the method.
# For a registry: a proxy that sends clients to another name, or to a login, by 302 makes a cleaner believe that it has deleted, and a
#   client that it has pushed. Such redirections have to be 307 or 308. A client must look for 202 and 201, and not for any success.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1
"$dir/venv/bin/python" - <<'PYTHON'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import httpx
import requests
import urllib3

METHODS = ("DELETE", "PUT", "PATCH")
arrived: list[str] = []


class Server(BaseHTTPRequestHandler):
    """Redirects by the status that the path names."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path[1:])
        if status == 200:
            arrived.append(self.command)
        self.send_response(status)
        self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
pool = urllib3.PoolManager()
CLIENTS = {
    "requests": lambda method, status: requests.request(method, f"{url}/{status}", timeout=60).status_code,
    "httpx": lambda method, status: httpx.request(method, f"{url}/{status}", follow_redirects=True).status_code,
    "urllib3": lambda method, status: pool.request(method, f"{url}/{status}").status,
}
print("version:", *(f"{name} {version(name)}" for name in CLIENTS))
print("expected: each method arrives as it was sent")
as_found = True
for name, send in CLIENTS.items():
    for status in (301, 302, 307):
        arrived.clear()
        answers = [send(method, status) for method in METHODS]
        is_changed = status == 302 and name != "urllib3"
        as_found &= (answers, arrived) == ([200] * 3, ["GET"] * 3 if is_changed else list(METHODS))
        print(f"seen: {name}: {status}: {', '.join(METHODS)} arrive as {', '.join(arrived)}, result {answers}")
sys.exit(0 if as_found else 1)
PYTHON
