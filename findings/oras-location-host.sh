#!/bin/sh
# oras: an upload Location on another host than the registry's ends a push, which crane follows there.
#
# Expected: `oras push` sends a blob to the Location that the answer to POST names, wherever it is. The distribution spec (POST then
#   PUT) lets it be "absolute (containing the protocol and/or hostname)" or relative.
# Seen: with a Location at another host name and port oras ends the push after the POST, and sends nothing there. crane sends the blob
#   there and finishes its push.
# For a registry: uploads cannot be sent to another host than the one that a client knows, such as one for large bodies or one in
#   the client's region. Behind a proxy a Location is best relative.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
HOME=$dir python3 - "$dir" <<'PYTHON'
import hashlib
import os
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

asked: list[str] = []


class Registry(BaseHTTPRequestHandler):
    """Takes whatever is pushed, and has none of it before; blobs are to be sent to the other name."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        if self.headers.get("Transfer-Encoding"):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url, host = urlsplit(self.path), self.headers["Host"].partition(":")[0]
        asked.append(f"{self.command} {host}")
        headers = {"Docker-Distribution-Api-Version": "registry/2.0"}
        if self.command == "POST":
            status, headers["Location"] = 202, f"http://localhost:{others.server_port}/v2/app/blobs/uploads/1"
        elif self.command == "PATCH":
            status, headers["Location"] = 202, f"http://localhost:{others.server_port}{self.path}"
            headers["Range"] = f"0-{len(body) - 1}"
        elif self.command == "PUT":
            status = 201
            digest = parse_qs(url.query).get("digest", [f"sha256:{hashlib.sha256(body).hexdigest()}"])[0]
            headers |= {"Docker-Content-Digest": digest, "Location": url.path}
        else:
            status = 200 if url.path == "/v2/" else 404
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


server, others = (ThreadingHTTPServer(("127.0.0.1", 0), Registry) for _ in range(2))
for each in (server, others):
    threading.Thread(target=each.serve_forever, daemon=True).start()
tools = sys.argv[1]
os.chdir(tools)
with open("layer", "wb") as file:
    file.write(b"x" * 1000)
with tarfile.open("layer.tar", "w") as tar:
    tar.add("layer")
name = f"127.0.0.1:{server.server_port}/app:v1"


def push(*command: str) -> tuple[bool, bool, str]:
    """Return whether a push succeeded, whether it sent a body to the other host, and the last line of what it said."""
    asked.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode == 0, bool({"PUT localhost", "PATCH localhost"} & set(asked)), done.stderr.strip().split("\n")[-1]


oras = push(f"{tools}/oras", "push", "--plain-http", name, "layer")
crane = push(f"{tools}/crane", "append", "--insecure", "-f", "layer.tar", "-t", name)
version = subprocess.run([f"{tools}/oras", "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
print("version:", " ".join(version.split()), "beside crane 0.22.1")
print("expected: both push, and send blobs to the host of the Location")
for tool, (is_pushed, is_sent, said) in {"oras": oras, "crane": crane}.items():
    print(f"seen: {tool} {'pushes' if is_pushed else 'fails'}, {'sent' if is_sent else 'sent nothing'} there: {said}")
sys.exit(0 if oras[:2] == (False, False) and crane[:2] == (True, True) else 1)
PYTHON
