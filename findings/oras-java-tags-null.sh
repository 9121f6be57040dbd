#!/bin/sh
# oras-java: a copy with referrers leaves a tag `null` at the target.
#
# Expected: `CopyUtils.copy` with `CopyOptions.deep()` copies an image and its referrers. Only the image gets a tag, as from `oras cp -r`:
#   a referrer is found by its subject, and has no name.
# Seen: each referrer is pushed to `/v2/<name>/manifests/null`, not to its digest. So the target has a tag `null`, which names
#   the referrer that came last. If two images are copied into one repository, the second copy moves the tag.
# For a registry: tags `null` come from Java programs that copy signatures, and nobody wants them. If tags are immutable there, the second
#   referrer is refused, and the copy breaks off.
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
            CopyUtils.copy(registry, source, registry, target, CopyUtils.CopyOptions.deep());
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

OCI_IMAGE, OCI_INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def manifest(**more: object) -> bytes:
    config = descriptor("application/vnd.oci.empty.v1+json", b"{}")
    layer = descriptor("application/vnd.oci.image.layer.v1.tar", b"layer")
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": [layer], **more}).encode()


image = manifest()
signature = manifest(artifactType="application/vnd.example", subject=descriptor(OCI_IMAGE, image))
listed = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_IMAGE, signature)]}).encode()
empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
names = {"v1": image, digest(image): image, digest(signature): signature}
pushed: list[tuple[str, str]] = []


class Registry(BaseHTTPRequestHandler):
    """Has an image with one signature, and takes what is mounted or pushed."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, name = self.path.partition("?")[0], self.path.rpartition("/")[2]
        status, headers, answer = 200, {"Content-Type": OCI_IMAGE}, b""
        if self.command == "POST":  # a mount
            status = 201
        elif self.command == "PUT":
            status, headers["Docker-Content-Digest"], headers["Location"] = 201, digest(body), path
            pushed.append((name, digest(body)))
            names[name] = names[digest(body)] = body
            if b'"subject"' in body:
                headers["OCI-Subject"] = digest(image)
        elif "/referrers/" in path:
            headers["Content-Type"], answer = OCI_INDEX, listed if name == digest(image) else empty
        elif "/manifests/" in path and name in names:
            headers["Docker-Content-Digest"], answer = digest(names[name]), names[name]
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
print("expected: PUT of the image as v1, and of the signature by its digest")
print("seen: PUT of", " and of ".join(f"{'the image' if what == digest(image) else 'the signature'} as {name}" for name, what in pushed))
if done.returncode:
    print(done.stderr)
sys.exit(0 if done.returncode == 0 and pushed == [("v1", digest(image)), ("null", digest(signature))] else 1)
PYTHON
