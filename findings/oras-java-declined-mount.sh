#!/bin/sh
# oras-java: a copy within a registry that declines mounts leaves the config out, and the manifest is refused.
#
# Expected: `CopyUtils.copy` from one repository of a registry to another uploads what the registry does not mount. "If a registry does
#   not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a 202" (distribution spec, Mounting
#   a blob from another repository), and the client goes on with an upload. oras, crane and skopeo do.
# Seen: it does so with layers, but takes the answer 202 for a config as if the config had been mounted. Then it pushes the manifest. A
#   registry that checks references refuses that manifest with MANIFEST_BLOB_UNKNOWN, and the copy ends.
# For a registry: mount where it may be done at all. A registry that declines, since the user may not read the source, say, or the blob
#   was deleted a moment ago, fails such a copy with an error about a blob that the user has just seen.
# Needs Java 17 and Maven.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>land.oras</groupId><artifactId>oras-java-sdk</artifactId><version>0.7.0</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$dir/lib" \
  >"$dir/maven.log" 2>&1
cat >"$dir/Copy.java" <<'JAVA'
import land.oras.ContainerRef;
import land.oras.CopyUtils;
import land.oras.Registry;

class Copy {
    public static void main(String[] arguments) {
        Registry registry = Registry.builder().insecure(arguments[0]).build();
        ContainerRef source = ContainerRef.parse(arguments[0] + "/app:v1");
        ContainerRef target = ContainerRef.parse(arguments[0] + "/copy:v1");
        try {
            CopyUtils.copy(registry, source, registry, target, CopyUtils.CopyOptions.shallow());
        } catch (RuntimeException error) {
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }
}
JAVA
HOME=$dir python3 - "$dir" <<'PYTHON'
import hashlib
import json
import pathlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


config, layer = b'{"a":"config"}', b"a layer"
image = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }
).encode()
names = {digest(config): "config", digest(layer): "layer"}
blobs = {("app", digest(config)): config, ("app", digest(layer)): layer}
pushed: list[str] = []
mounts: list[str] = []


class Registry(BaseHTTPRequestHandler):
    """Has an image, declines mounts, takes uploads, and refuses manifests whose blobs it does not have."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        _, _, repository, kind, name = url.path.split("/", 4)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        status, headers, answer = 200, {"Content-Type": OCI_IMAGE}, b""
        if self.command == "POST":
            status, headers["Location"] = 202, f"/v2/{repository}/blobs/uploads/1"
            mounts.extend([names[query["mount"]]] if "mount" in query else [])
        elif self.command == "PUT" and kind == "blobs":
            status, blobs[repository, query["digest"]] = 201, body
            pushed.append(names[query["digest"]])
        elif self.command == "PUT":
            missing = [name for digest, name in names.items() if (repository, digest) not in blobs]
            status = 404 if missing else 201
            pushed.append(f"a manifest without its {' and '.join(missing)}" if missing else "a manifest")
            answer = b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"a blob is missing"}]}' if missing else b""
        elif kind == "manifests" and repository == "app":
            headers["Docker-Content-Digest"], answer = digest(image), image
        elif (repository, name) in blobs:
            answer = blobs[repository, name]
        else:
            status = 404
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = sys.argv[1]
java = ["java", f"-Djava.io.tmpdir={home}", "-cp", f"{home}/lib/*", f"{home}/Copy.java", f"127.0.0.1:{server.server_port}"]
done = subprocess.run(java, capture_output=True, text=True, check=False, timeout=120)
[jar] = pathlib.Path(home, "lib").glob("oras-java-sdk-*.jar")
print("version:", jar.stem)
print("expected: mounts of layer and config are declined, both are uploaded, and the manifest is accepted")
print(f"seen: mounts of {' and '.join(mounts)} were declined; pushed: {', '.join(pushed)}; exit code {done.returncode}")
if done.returncode and "404" not in done.stderr:
    print(done.stderr)
found = sorted(mounts) == ["config", "layer"] and pushed == ["layer", "a manifest without its config"] and done.returncode == 1
sys.exit(0 if found else 1)
PYTHON
