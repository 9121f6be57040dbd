#!/bin/sh
# versitygw: PUT and DELETE keep to conditions, and a copy and a DeleteObjects do not: both answer with success and lose an object.
#
# Expected: `If-None-Match: *` of CopyObject copies "only if the object key name at the destination does not already exist" and is
#   answered with 412 otherwise. An `ETag` in the list of DeleteObjects "makes the request method conditional on ETags" (both from the
#   Amazon S3 API Reference, as botocore has it). PutObject and DeleteObject of versitygw do the like, so a look at these says yes.
# Seen: the copy to a key that exists has 200, and replaces the object. DeleteObjects with an ETag that no object has reports the key as
#   deleted, and it is. SeaweedFS 4.48 answers both with PreconditionFailed.
# For a registry: a probe for conditions has to try each kind of request that relies on them. zotpy copies nothing, deletes in lists
#   only what it would delete without a condition, and tries the conditions of PUT and DELETE at the start.
# Needs Go, and a file system with extended attributes below the temporary folder.
set -eu
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.43.11 botocore==1.43.11
mkdir "$dir/data"
port=$(python3 -c 'import random; print(random.randrange(11000, 21000))')
ROOT_ACCESS_KEY=finding ROOT_SECRET_KEY=secret-key "$dir/versitygw" --port "127.0.0.1:$port" posix "$dir/data" >"$dir/log" 2>&1 &
pid=$!
"$dir/venv/bin/python" - "http://127.0.0.1:$port" <<'PYTHON'
import sys
from collections.abc import Callable

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

OTHER = '"00000000000000000000000000000000"'
config = Config(retries={"total_max_attempts": 10, "mode": "standard"})
keys = {"aws_access_key_id": "finding", "aws_secret_access_key": "secret-key", "region_name": "us-east-1"}
s3 = boto3.client("s3", endpoint_url=sys.argv[1], config=config, **keys)
s3.create_bucket(Bucket="bucket")


def outcome(request: Callable[..., dict], **arguments: object) -> str:
    """Write an object `mine` and another one, make a request, and say what it says and what `mine` holds then."""
    s3.put_object(Bucket="bucket", Key="mine", Body=b"mine")
    s3.put_object(Bucket="bucket", Key="source", Body=b"other")
    try:
        answer = request(Bucket="bucket", **arguments)
        said = "refused" if answer.get("Errors") else "success"
    except ClientError as error:
        said = error.response["Error"]["Code"]
    try:
        return f"{said}, {s3.get_object(Bucket='bucket', Key='mine')['Body'].read().decode()}"
    except s3.exceptions.NoSuchKey:
        return f"{said}, gone"


seen = {
    "PutObject if there is none": outcome(s3.put_object, Key="mine", Body=b"other", IfNoneMatch="*"),
    "CopyObject if there is none": outcome(s3.copy_object, Key="mine", CopySource="bucket/source", IfNoneMatch="*"),
    "DeleteObject of another ETag": outcome(s3.delete_object, Key="mine", IfMatch=OTHER),
    "DeleteObjects of another ETag": outcome(s3.delete_objects, Delete={"Objects": [{"Key": "mine", "ETag": OTHER}]}),
}
print("version: versitygw 1.8.0")
print("expected: each is refused, and the object is still mine")
for name, what in seen.items():
    print(f"seen: {name}: {what}")
found = ["PreconditionFailed, mine", "success, other", "PreconditionFailed, mine", "success, gone"]
sys.exit(0 if list(seen.values()) == found else 1)
PYTHON
