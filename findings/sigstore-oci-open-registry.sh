#!/bin/sh
# @sigstore/oci: a registry that lets everybody push takes no attestation from a client that has a login.
#
# Expected: `attachArtifactToImage` with credentials attaches an artifact also where no login is needed. Its own source says of the
#   request by which it asks whether it must log in: "If we get a 200 response, we're already authenticated". GitHub's attest action
#   always passes the credentials of docker's configuration file on.
# Seen: it asks with `POST /v2/<name>/blobs/uploads/`. The distribution spec has 202 for that, never 200 (end-4a). So the client looks
#   for a challenge in the answer 202, finds none, and ends with "Invalid challenge". Without credentials the same call succeeds.
# For a registry: logins that are accepted but not needed do not help this client. Each of its logins also begins an upload that nobody
#   ends, so such an upload must cost nothing and must be cleaned up.
# Needs Node and npm.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --cache "$dir/cache" @sigstore/oci@0.7.2 >/dev/null
cat >attach.js <<'JS'
const { attachArtifactToImage } = require("@sigstore/oci");
const [imageName, imageDigest, username] = process.argv.slice(2);
attachArtifactToImage({
  artifact: Buffer.from("an attestation"),
  mediaType: "application/vnd.example",
  imageName,
  imageDigest,
  credentials: username ? { username, password: "a password" } : undefined,
}).then(
  () => console.log("attached"),
  (error) => console.log(String(error.cause.message).trim()),
);
JS
HOME=$dir python3 - <<'PYTHON'
import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = b'{"schemaVersion":2}'
DIGEST = f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
asked: list[str] = []


class OpenRegistry(BaseHTTPRequestHandler):
    """Lets everybody push, has one image, and asks nobody for a login."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, body = self.path.partition("?")[0], b""
        asked.append(f"{self.command} {path}")
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        if self.command == "POST":
            status, headers["Location"] = 202, f"{path}1"
        elif self.command == "PUT":
            status, headers["OCI-Subject"] = 201, DIGEST
        elif "/referrers/" in path:
            status, body = 200, b'{"schemaVersion":2,"manifests":[]}'
        elif path.endswith(DIGEST):
            status, headers["Docker-Content-Digest"] = 200, DIGEST
        else:
            status = 404
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), OpenRegistry)
threading.Thread(target=server.serve_forever, daemon=True).start()
image = f"127.0.0.1:{server.server_port}/app"


def attach(*user: str) -> tuple[str, int]:
    """Return what the client says, and how many manifests it pushed."""
    asked.clear()
    done = subprocess.run(["node", "attach.js", image, DIGEST, *user], capture_output=True, text=True, check=True, timeout=100)
    return done.stdout.strip(), sum(one.startswith("PUT /v2/app/manifests/") for one in asked)


without, having = attach(), attach("a-user")
with open("node_modules/@sigstore/oci/package.json") as package:
    print("version: @sigstore/oci", json.load(package)["version"])
print("expected: attached, without a login and with one")
print(f"seen: without a login: {without[0]}; with one: {having[0]} (after {', '.join(asked)})")
sys.exit(0 if without == ("attached", 1) and having == ("Invalid challenge:", 0) and asked == ["POST /v2/app/blobs/uploads/"] else 1)
PYTHON
