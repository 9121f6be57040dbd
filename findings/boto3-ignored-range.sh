#!/bin/sh
# boto3 and minio-py: where a server ignores `Range`, a download is too long and wrong, and nothing is raised.
#
# Expected: "A server MAY ignore the Range header field" (RFC 9110, 14.2). It then answers 200 with the whole, which status and
#   Content-Length tell. `download_fileobj` gives the object as it is, or raises. `get_object(offset=, length=)` of minio-py, "Get data of
#   an object", gives those bytes, or raises.
# Seen: boto3 fetches an object of 20 MiB in three ranges, and writes each answer, which is the whole object, at the place of its range:
#   36 MiB, without an error. minio-py hands the first bytes of the object out as those at the offset, and all of them.
# For a registry: a proxy or a cache before the store that drops `Range` makes wrong blobs of right ones. A client has to look for 206 and
#   Content-Range, as zotpy does, or compare the digest.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.43.11 botocore==1.43.11 s3transfer==0.17.1 minio==7.2.20
"$dir/venv/bin/python" - <<'PYTHON'
import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import boto3
import minio

MIB = 1024 * 1024
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(20 * MIB // 4))


class Server(BaseHTTPRequestHandler):
    """Answers with the whole object, whatever `Range` says."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", '"etag"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = f"127.0.0.1:{server.server_port}"
keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
by_boto3 = io.BytesIO()
boto3.client("s3", endpoint_url=f"http://{place}", **keys).download_fileobj("bucket", "key", by_boto3)
length = len(by_boto3.getvalue())
answer = minio.Minio(place, "a", "b", secure=False, region="us-east-1").get_object("bucket", "key", offset=4000, length=8)
by_minio = answer.read()
print("version:", *(f"{name} {version(name)}" for name in ("boto3", "s3transfer", "minio")))
print("expected:", len(CONTENT), "bytes, and 8 bytes from 4000 on:", CONTENT[4000:4008].hex())
print("seen: boto3:", length, "bytes, the same as the object:", by_boto3.getvalue() == CONTENT)
print("seen: minio-py:", len(by_minio), "bytes, which begin with", by_minio[:8].hex())
sys.exit(0 if (length, by_minio == CONTENT) == (36 * MIB, True) else 1)
PYTHON
