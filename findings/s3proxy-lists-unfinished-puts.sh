#!/bin/sh
# S3Proxy: a PUT that is still arriving is listed as an object of another name, and can be read as far as it has come.
#
# Expected: an object appears when its PUT has succeeded. "Amazon S3 never adds partial objects; if you receive a success response,
#   Amazon S3 added the entire object to the bucket" (Amazon S3 API Reference, PutObject).
# Seen: with its provider `filesystem-nio2` the bytes go to a file beside the object's, whose name is the key, a hyphen and a UUID.
#   While the PUT of `tags/v1` arrives, ListObjectsV2 has `tags/v1-<UUID>`, and a GET of that key answers 200 with half of the bytes.
#   When the PUT ends, the object has its own name. (If S3Proxy is killed first, that file stays an object for ever.)
# For a registry: a list of names has names that nobody pushed, and what they lead to is cut. zotpy says in its documentation that a
#   store must not do so.
# Needs Java 17 and Maven.
set -eu
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cat >"$dir/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.gaul</groupId>
      <artifactId>s3proxy</artifactId>
      <version>4.1.0</version>
      <exclusions><!-- of other providers -->
        <exclusion><groupId>com.azure</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>com.github.openstack4j.core</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>com.github.openstack4j.core.connectors</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>com.google.cloud</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>io.grpc</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.apache.sshd</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
    <!-- what its release has; Maven alone would choose an older one, with which S3Proxy does not start -->
    <dependency>
      <groupId>com.fasterxml.jackson.core</groupId>
      <artifactId>jackson-annotations</artifactId>
      <version>2.22</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$dir/lib" \
  >"$dir/maven.log" 2>&1
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.44.5
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$dir/objects"
cat >"$dir/s3proxy.conf" <<CONF
s3proxy.endpoint=http://127.0.0.1:$port
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity=finding
s3proxy.credential=finding-secret
jclouds.provider=filesystem-nio2
jclouds.identity=any
jclouds.credential=any
jclouds.filesystem.basedir=$dir/objects
CONF
java -Xmx256m -cp "$dir/lib/*" org.gaul.s3proxy.Main --properties "$dir/s3proxy.conf" >"$dir/log" 2>&1 &
pid=$!
PORT=$port "$dir/venv/bin/python" - "$dir/lib" <<'PYTHON'
import os
import pathlib
import re
import socket
import sys
import time
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session

port = int(os.environ["PORT"])
client = Session().create_client(
    "s3",
    "us-east-1",
    endpoint_url=f"http://127.0.0.1:{port}",
    aws_access_key_id="finding",
    aws_secret_access_key="finding-secret",
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"max_attempts": 0}),
)
for attempt in range(60):
    try:
        client.create_bucket(Bucket="bucket")
        break
    except BotoCoreError:
        time.sleep(1)
else:
    sys.exit("S3Proxy did not start")


def listed() -> dict[str, int]:
    return {each["Key"]: each["Size"] for each in client.list_objects_v2(Bucket="bucket").get("Contents", [])}


body = bytes(1_000_000)
half = len(body) // 2
url = urlsplit(client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "tags/v1"}))
head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
with socket.create_connection(("127.0.0.1", port)) as put:
    put.sendall(head.encode() + body[:half])
    for attempt in range(60):
        meanwhile = listed()
        if half in meanwhile.values():
            break
        time.sleep(0.5)
    read = {key: len(client.get_object(Bucket="bucket", Key=key)["Body"].read()) for key in meanwhile}
    put.sendall(body[half:])
    answer = put.recv(1024).split(b"\r\n")[0].decode()
after = listed()
[jar] = pathlib.Path(sys.argv[1]).glob("s3proxy-*.jar")
print("version:", jar.stem)
print("expected: no object until the PUT has its answer, then tags/v1")
print(f"seen: half of the PUT sent: {meanwhile}, of which a GET reads {list(read.values())} bytes; then {answer!r}: {after}")
is_as_found = (
    len(meanwhile) == 1
    and all(re.fullmatch(r"tags/v1-[0-9a-f-]{36}", key) for key in meanwhile)
    and list(read.values()) == [half]
    and after == {"tags/v1": len(body)}
)
sys.exit(0 if is_as_found else 1)
PYTHON
