#!/bin/sh
# oras: a list of referrers longer than 4 MiB ends as "unexpected EOF", and no referrer of the subject is shown.
#
# Expected: `oras discover` shows every referrer that a registry lists on one page. The distribution spec (Listing Referrers)
#   sets no length for a page and has descriptors repeat the annotations of their manifests; it names a limit for manifests alone.
# Seen: with 40 referrers whose annotations are 100 KiB each, all are shown; with 60, a page of 6 MiB, oras stops reading after
#   4 MiB and says "failed to decode response: unexpected EOF", as if the connection had broken. It shows none of them.
# For a registry: pages of referrers must be cut by bytes, well below 4 MiB, and annotations that are too long for a page be left
#   out, or the signatures of an image that has many of them cannot be listed.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
HOME=$dir python3 - "$dir/oras" <<'PYTHON'
import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}", "size": 2}
manifest = json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": EMPTY, "layers": [EMPTY]}).encode()
digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
listed = 0


def referrers() -> bytes:
    descriptors = [
        {
            "mediaType": IMAGE,
            "digest": f"sha256:{number:064x}",
            "size": 200_000,
            "artifactType": "application/vnd.example.signature",
            "annotations": {"certificates": "x" * 100 * 1024},
        }
        for number in range(listed)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}).encode()


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_list = "/referrers/" in self.path
        body = referrers() if is_list else manifest
        self.send_response(200)
        self.send_header("Content-Type", INDEX if is_list else IMAGE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
name = f"127.0.0.1:{server.server_port}/app@{digest}"
command = [sys.argv[1], "discover", "--plain-http", "--format", "json", "--depth", "1"]
command += ["--distribution-spec", "v1.1-referrers-api", name]


def discover(count: int) -> tuple[int, str]:
    global listed
    listed = count
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return (len(json.loads(done.stdout)["referrers"]), "") if done.returncode == 0 else (0, done.stderr.strip()[-60:])


version = subprocess.run([sys.argv[1], "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
few, many = discover(40), discover(60)
print("version:", version)
print("expected: 40 of 40 and 60 of 60 referrers are shown")
print(f"seen: {few[0]} of 40 and {many[0]} of 60 are shown; {many[1]}")
sys.exit(0 if few == (40, "") and many[0] == 0 and "unexpected EOF" in many[1] else 1)
PYTHON
