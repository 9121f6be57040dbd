#!/bin/sh
# cosign: `save` and `load` of a signed image stop at the signature, which `copy` leaves behind without a word.
#
# Expected: since version 3 `cosign sign` writes a bundle, an OCI referrer. `cosign copy` ("the supplied container image and signatures")
#   is deprecated, and names `cosign save` and then `cosign load` as the way to another registry. So an image that verifies here verifies
#   there.
# Seen: `load` uploads the config of the bundle's manifest, but not its layer, which `save` has written. A registry that checks
#   references, as distribution and others do, refuses that manifest (MANIFEST_BLOB_UNKNOWN), and `load` fails after it has pushed
#   the image. `copy` succeeds, and its copy has no signature. `oras copy -r` takes the bundle along.
#   What `load` does is known: https://github.com/sigstore/cosign/issues/5030
# For a registry: images that were moved with cosign are unsigned there. Where only signed images may be pulled, nobody gets them.
#   Move them with `oras copy -r`, or with `zotpy import`, which copies referrers.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
HOME=$dir COSIGN_PASSWORD=x python3 - "$dir" <<'PYTHON'
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EMPTY, IMAGE, INDEX = (f"application/vnd.oci.{kind}.v1+json" for kind in ("empty", "image.manifest", "image.index"))
kept: dict[str, tuple[str, bytes]] = {}
refused: list[str] = []


class Registry(BaseHTTPRequestHandler):
    """Keeps what is pushed, lists referrers, and refuses a manifest whose blobs its repository does not have."""

    protocol_version = "HTTP/1.1"

    def _body(self) -> bytes:
        if not self.headers.get("Transfer-Encoding"):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self) -> None:
        url, body, headers, status, answer = urlsplit(self.path), self._body(), {}, 404, b""
        digest, repo = f"sha256:{hashlib.sha256(body).hexdigest()}", url.path.split("/")[2]
        if self.command == "POST":
            status, headers["Location"] = 202, f"{url.path}{len(kept)}"
        elif self.command == "PATCH":
            kept[url.path] = ("", body)
            status, headers["Location"] = 202, self.path
        elif self.command == "PUT" and "/blobs/" in url.path:
            named = parse_qs(url.query)["digest"][0]
            kept[f"/v2/{repo}/blobs/{named}"] = ("application/octet-stream", body or kept.get(url.path, ("", b""))[1])
            status, headers["Docker-Content-Digest"] = 201, named
        elif self.command == "PUT":
            manifest = json.loads(body)
            blobs = [each["digest"] for each in (manifest["config"], *manifest["layers"])]
            missing = [blob for blob in blobs if f"/v2/{repo}/blobs/{blob}" not in kept]
            if missing:
                refused.append(manifest["layers"][0]["mediaType"])
                status, answer = 404, json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": missing[0]}]}).encode()
            else:
                kept[url.path] = kept[f"/v2/{repo}/manifests/{digest}"] = (self.headers["Content-Type"], body)
                status, headers["Docker-Content-Digest"] = 201, digest
                if "subject" in manifest:
                    headers["OCI-Subject"] = manifest["subject"]["digest"]
        elif "/referrers/" in url.path:
            status, headers["Content-Type"], answer = 200, INDEX, referrers_of(repo, url.path.rpartition("/")[2])
        elif url.path == "/v2/":
            status = 200
        elif url.path in kept:
            status, (headers["Content-Type"], answer) = 200, kept[url.path]
            headers["Docker-Content-Digest"] = f"sha256:{hashlib.sha256(answer).hexdigest()}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


def referrers_of(repo: str, subject: str) -> bytes:
    found = []
    for path, (media_type, content) in kept.items():
        if path.startswith(f"/v2/{repo}/manifests/sha256:") and subject == json.loads(content).get("subject", {}).get("digest"):
            artifact_type = json.loads(content).get("artifactType", "")
            described = {"mediaType": media_type, "digest": path.rpartition("/")[2], "size": len(content)}
            found.append(described | {"artifactType": artifact_type})
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}).encode()


def put(path: str, media_type: str, content: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    kept[f"{path}/{digest}"] = (media_type, content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.chdir(sys.argv[1])
host = f"127.0.0.1:{server.server_port}"
config = put("/v2/app/blobs", EMPTY, b"{}")
image = {"schemaVersion": 2, "mediaType": IMAGE, "artifactType": "text/plain", "config": config, "layers": [config]}
name = f"app@{put('/v2/app/manifests', IMAGE, json.dumps(image).encode())['digest']}"
digest = name.partition("@")[2]
plain = ("--allow-http-registry", "--allow-insecure-registry")


def run(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode == 0


def cosign(command: str, *arguments: str) -> bool:
    return run("./cosign", command, *plain, *arguments)


def is_signed(repo: str) -> bool:
    return cosign("verify", "--key", "cosign.pub", "--insecure-ignore-tlog", f"{host}/{repo}@{digest}")


run("./cosign", "generate-key-pair")
cosign("sign", "-y", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", f"{host}/{name}")
done = {
    "sign": (True, is_signed("app")),
    "oras copy -r": (
        run("./oras", "copy", "-r", "--from-plain-http", "--to-plain-http", f"{host}/{name}", f"{host}/oras:v1"),
        is_signed("oras"),
    ),
    "cosign copy": (cosign("copy", f"{host}/{name}", f"{host}/copied:v1"), is_signed("copied")),
}
saved = cosign("save", "--dir", "saved", f"{host}/{name}")
done["cosign load"] = (cosign("load", "--dir", "saved", f"{host}/loaded:v1"), is_signed("loaded"))
version = subprocess.run(["./cosign", "version"], capture_output=True, text=True, check=True).stdout
print("version: cosign", next(line.split()[1] for line in version.split("\n") if line.startswith("GitVersion")), "beside oras 1.3.6")
print("expected: what succeeds leaves an image that verifies")
for command, (is_done, verifies) in done.items():
    print(f"seen: {command} {'succeeds' if is_done else 'fails'}; the image {'verifies' if verifies else 'does not verify'}")
print("seen: cosign load was refused manifests of", refused)
bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
found = {"sign": (True, True), "oras copy -r": (True, True), "cosign copy": (True, False), "cosign load": (False, False)}
sys.exit(0 if saved and done == found and set(refused) == {bundle} and "/v2/loaded/manifests/v1" in kept else 1)
PYTHON
