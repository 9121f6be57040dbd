#!/bin/sh
# httpx: a network in NO_PROXY (10.0.0.0/8) is taken for its first address: all others of it go through the proxy.
#
# Expected: `NO_PROXY=127.0.0.0/8` keeps requests to 127.0.0.1 away from the proxy, as with curl (from 7.86 on) and with every
#   client in Go (net/http: "an IP address prefix in CIDR notation"). httpx reads such entries on purpose: its own code takes the
#   part before the slash to see that it is an IPv4 address.
# Seen: a request to 127.0.0.1 goes through the proxy with NO_PROXY=127.0.0.0/8, and past it with NO_PROXY=127.0.0.1. curl and
#   httpx get the same variables here.
# For a registry: NO_PROXY in a cluster is made of networks. A client that does not read them sends the traffic of the store, and its
#   keys, through the proxy of the site.
# Needs curl, 7.86 or newer.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1
env -u http_proxy -u https_proxy -u no_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u NO_PROXY -u ALL_PROXY "$dir/venv/bin/python" - <<'PYTHON'
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import httpx


class Says(BaseHTTPRequestHandler):
    """A server, or a proxy, by what it is asked for: a path, or a whole URL."""

    def do_GET(self) -> None:
        body = b"the proxy" if self.path.startswith("http://") else b"the server"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def listening() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Says)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


url, proxy = listening(), listening()


def who_answers(exceptions: str) -> tuple[str, str]:
    """Ask by httpx and by curl, with this NO_PROXY."""
    os.environ |= {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": exceptions}
    by_curl = subprocess.run(["curl", "-sS", "-m", "60", url], capture_output=True, text=True, check=True).stdout
    return httpx.get(url).text, by_curl


seen = {exceptions: who_answers(exceptions) for exceptions in ("127.0.0.1", "127.0.0.0/8")}
curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
print("version: httpx", version("httpx"), "beside curl", curl)
print("expected: the server answers, with NO_PROXY=127.0.0.1 and with NO_PROXY=127.0.0.0/8")
for exceptions, (by_httpx, by_curl) in seen.items():
    print(f"seen: NO_PROXY={exceptions}: {by_httpx} answers httpx, {by_curl} answers curl")
server, through = "the server", "the proxy"
sys.exit(0 if seen == {"127.0.0.1": (server, server), "127.0.0.0/8": (through, server)} else 1)
PYTHON
