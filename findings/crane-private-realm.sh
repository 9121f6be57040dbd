#!/bin/sh
# crane: a token service at a private IP address is never asked, unless it has the registry's own host and port.
#
# Expected: a registry on a private network answers 401 with the URL of its token service, which is on that network as well, and a
#   client gets a token there. Docker's token specification allows any URL as `realm`, and oras asks it.
# Seen: crane ends with "realm host ... is a private or link-local address" and sends nothing there, also with --insecure.
# For a registry: the realm is best at the host that the client has asked.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
HOME=$dir python3 - "$dir" <<'PYTHON'
import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}).encode()
realm = ""
asked: list[str] = []


class Answering(BaseHTTPRequestHandler):
    """The registry, which wants a token for everything, and its token service, which gives one to everybody."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body, headers = b"", {}
        if self.path.startswith("/token"):
            asked.append(self.path)
            status, body = 200, json.dumps({"token": "abc", "access_token": "abc", "expires_in": 300}).encode()
        elif self.headers.get("Authorization") != "Bearer abc":
            status, headers = 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="x",scope="repository:app:pull"'}
        else:
            status, body = 200, MANIFEST
            digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
            headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Docker-Content-Digest": digest}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


registry, service = (ThreadingHTTPServer(("127.0.0.1", 0), Answering) for _ in range(2))
for each in (registry, service):
    threading.Thread(target=each.serve_forever, daemon=True).start()
image, directory = f"127.0.0.1:{registry.server_port}/app:v1", sys.argv[1]
PROGRAMS = {
    "crane": [f"{directory}/crane", "manifest", "--insecure", image],
    "oras": [f"{directory}/oras", "manifest", "fetch", "--plain-http", image],
}


def run(program: str) -> tuple[str, int, str]:
    """Read the manifest with a program, and return how that ended, how often a token was asked for, and the last line."""
    global realm
    realm = f"http://127.0.0.1:{service.server_port}/token"
    asked.clear()
    done = subprocess.run(PROGRAMS[program], capture_output=True, text=True, timeout=60, check=False)
    return "reads" if done.returncode == 0 else "fails", len(asked), (done.stdout + done.stderr).strip().splitlines()[-1]


ours, other = run("crane"), run("oras")
print("version:  crane 0.22.1, oras 1.3.6")
print("expected: crane asks the token service at 127.0.0.1, as oras does, and reads the manifest")
print(f"seen:     crane {ours[0]}, tokens asked for: {ours[1]}: {ours[2]}")
print(f"          oras {other[0]}, tokens asked for: {other[1]}")
as_found = ours[:2] == ("fails", 0) and other[0] == "reads"
sys.exit(0 if as_found else 1)
PYTHON
