#!/bin/sh
# cosign: where a registry lists no referrers, the list that cosign writes calls each signature an empty config.
#
# Expected: in the tag that stands for the list, the `artifactType` of a descriptor is that of the manifest (distribution spec,
#   Pushing Manifests with Subject: "The value of the artifactType MUST be set to the artifactType value in the image manifest").
# Seen: it is the media type of the config, application/vnd.oci.empty.v1+json, although the manifest has an `artifactType`.
#   It is known: https://github.com/sigstore/cosign/issues/4641
# For a registry: a program that looks for signatures in such a list does not find them by their type. It must read the manifests.
#   zotpy's own referrers API says the type of the manifest, and cosign then writes no list.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/sigstore/cosign/v3/cmd/cosign@v3.0.6
HOME=$dir COSIGN_PASSWORD=x python3 - "$dir" <<'PYTHON'
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EMPTY, IMAGE = "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.manifest.v1+json"
kept: dict[str, tuple[str, bytes]] = {}


class Registry(BaseHTTPRequestHandler):
    """Keeps what is pushed, and has no referrers API."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url, headers, status = urlsplit(self.path), {}, 404
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if self.command == "POST":
            status, headers["Location"] = 202, "/v2/app/blobs/uploads/1"
        elif self.command == "PATCH":
            kept["upload"] = ("", body)
            status, headers["Location"] = 202, self.path
        elif self.command == "PUT" and "/blobs/" in url.path:
            named = parse_qs(url.query)["digest"][0]
            kept[f"/v2/app/blobs/{named}"] = ("application/octet-stream", body or kept.get("upload", ("", b""))[1])
            status, headers["Docker-Content-Digest"] = 201, named
        elif self.command == "PUT":
            for name in (url.path, f"/v2/app/manifests/{digest}"):
                kept[name] = (self.headers["Content-Type"], body)
            status, headers["Docker-Content-Digest"] = 201, digest
        elif url.path == "/v2/":
            status = 200
        elif url.path in kept:
            status, (headers["Content-Type"], content) = 200, kept[url.path]
            headers["Docker-Content-Digest"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
            headers["Content-Length"] = str(len(content))
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and url.path in kept:
            self.wfile.write(kept[url.path][1])

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.chdir(sys.argv[1])
config = {"mediaType": EMPTY, "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}", "size": 2}
image = json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": []}).encode()
digest = f"sha256:{hashlib.sha256(image).hexdigest()}"
kept[f"/v2/app/manifests/{digest}"] = (IMAGE, image)


def cosign(*words: str) -> None:
    done = subprocess.run(["./cosign", *words], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        sys.exit(done.stderr)


cosign("generate-key-pair")
offline = ("--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes")
cosign("sign", "--key", "cosign.key", *offline, f"127.0.0.1:{server.server_port}/app@{digest}")
[listed] = json.loads(kept[f"/v2/app/manifests/{digest.replace(':', '-')}"][1])["manifests"]
is_of_manifest = json.loads(kept[f"/v2/app/manifests/{listed['digest']}"][1])["artifactType"]
print("version: cosign 3.0.6")
print(f"expected: the list says {is_of_manifest}, as the manifest does")
print(f"seen: the list says {listed.get('artifactType')}")
sys.exit(0 if listed.get("artifactType") == EMPTY != is_of_manifest else 1)
PYTHON
