#!/bin/sh
# oras: what looks a tag up by HEAD fails without Content-Length or Docker-Content-Digest, and what fetches the same tag succeeds.
#
# Expected: `oras resolve`, `oras discover` and `oras pull` find a tag that is there. The distribution spec has the two headers in the
#   answer to HEAD as SHOULD (Checking if content exists in the registry), and HTTP lets a server leave Content-Length out (RFC 9110, 8.6).
#   crane and regctl then ask with GET, which tells both.
# Seen: `oras resolve` and `oras discover` end with "unknown response Content-Length", or with "missing required header". `oras pull` and
#   `oras manifest fetch` of the tag work at that registry.
# For a registry: send both headers with each answer to HEAD, as zotpy does, and put no proxy before it that drops one. Pulls would go on,
#   and signatures and other referrers could not be found by tag any more.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
HOME=$dir python3 - "$dir" <<'PYTHON'
import hashlib
import json
import pathlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = "application/vnd.oci.image.manifest.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}", "size": 2}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": EMPTY, "layers": [EMPTY]}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
NO_REFERRERS = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
folder = pathlib.Path(sys.argv[1])


class Registry(BaseHTTPRequestHandler):
    """Has one image. Answers to HEAD lack the header that the name of the repository says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, body = "application/json", b"{}"
        if "/manifests/" in self.path:
            kind, body = IMAGE, MANIFEST
        elif "/referrers/" in self.path:
            kind, body = NO_REFERRERS["mediaType"], json.dumps(NO_REFERRERS).encode()
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        if kind == IMAGE:
            headers["Docker-Content-Digest"] = DIGEST
        if self.command == "HEAD":
            headers.pop("Content-Length" if "no-length" in self.path else "Docker-Content-Digest", None)
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def works(*command: str) -> bool:
    """Run a client, and say whether it succeeded."""
    done = subprocess.run([folder / command[0], *command[1:]], capture_output=True, text=True, cwd=folder, timeout=60)
    if done.returncode:
        print("seen:", done.stderr.strip().splitlines()[0][-120:])
    return done.returncode == 0


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("version: oras 1.3.6 beside crane 0.22.1")
print("expected: each command succeeds at both repositories")
seen = {}
for repository in ("no-length", "no-digest"):
    tag = f"127.0.0.1:{server.server_port}/{repository}:v1"
    seen[repository] = {
        "oras resolve": works("oras", "resolve", "--plain-http", tag),
        "oras discover": works("oras", "discover", "--plain-http", tag),
        "oras pull": works("oras", "pull", "--plain-http", tag),
        "oras manifest fetch": works("oras", "manifest", "fetch", "--plain-http", tag),
        "crane digest": works("crane", "digest", "--insecure", tag),
    }
    print("seen:", repository, seen[repository])
sys.exit(0 if all(list(each.values()) == [False, False, True, True, True] for each in seen.values()) else 1)
PYTHON
