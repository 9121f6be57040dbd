#!/bin/sh
# Werkzeug: a request for two ranges that are both there is answered with 416, as if neither were.
#
# Expected: 206 with both ranges, or 200 with the whole ("A server MAY ignore the Range header field", RFC 9110, 14.2). 416 is for a set
#   of ranges of which none is satisfiable, or which is excessive or overlaps (15.5.17). The documentation of `make_conditional` says
#   that it raises `RequestedRangeNotSatisfiable` "if `Range` header could not be parsed or satisfied".
# Seen: `send_file` answers `bytes=0-1` with 206, and `bytes=0-1,4-5` of ten bytes with 416. Its `Content-Range: bytes */10` says that
#   there are enough bytes. Two ranges of which one is beyond the end are refused as well. Flask uses this code, and Quart answers alike.
# For a registry: podman asks for many ranges of a blob at once, if layers are in the format zstd:chunked. A registry that answers
#   with this code refuses them. zotpy sends all ranges, as `multipart/byteranges`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check werkzeug==3.1.9
"$dir/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

from werkzeug.exceptions import HTTPException
from werkzeug.test import Client
from werkzeug.utils import send_file


def app(environ: dict, start_response: object) -> object:
    """Answer with ten bytes, or a part of them."""
    try:
        response = send_file(io.BytesIO(b"0123456789"), environ, mimetype="application/octet-stream", conditional=True)
    except HTTPException as error:
        response = error
    return response(environ, start_response)


client = Client(app)
seen = {}
for ranges in ("bytes=0-1", "bytes=4-5", "bytes=0-1,4-5", "bytes=0-1,90-", "bytes=90-"):
    answer = client.get("/", headers={"Range": ranges})
    seen[ranges] = (answer.status_code, answer.headers.get("Content-Range"))
print("version: werkzeug", version("werkzeug"))
print("expected: 206 or 200 for all but the last, which is 416")
for ranges, (status, content_range) in seen.items():
    print(f"seen: {ranges}: {status} {content_range}")
refused = (416, "bytes */10")
sys.exit(0 if list(seen.values()) == [(206, "bytes 0-1/10"), (206, "bytes 4-5/10"), refused, refused, refused] else 1)
PYTHON
