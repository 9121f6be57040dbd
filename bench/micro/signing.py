"""Signatures: of a request to the store, of a presigned URL, and of an upload's token."""

import itertools
from datetime import UTC, datetime

from bench.micro.timing import Micro
from zotpy.core.upload_tokens import ShownToken, SigningKey, UploadToken
from zotpy.s3.wire.signing import EMPTY_SHA256, Keys, presign, sign

KEYS = Keys("access-key-of-bench", "secret-of-the-benchmark")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATH = "/bucket/prefix/leases/team/app%21/blobs/sha256/" + "a" * 64 + "/" + "b" * 32
HEADERS = {"host": "store.example:9000", "content-type": "application/octet-stream", "if-none-match": "*"}
QUERY = (("partNumber", "7"), ("uploadId", "c" * 64))
TOKEN_KEY = SigningKey("d" * 32, b"k" * 32)


def micros() -> list[Micro]:
    """Return what is measured here."""
    offsets = itertools.count()
    text = UploadToken("team/app", "e" * 32, "sha256", 8 << 20).sign(TOKEN_KEY)
    return [
        Micro("SigV4 in headers", lambda: sign(KEYS, "us-east-1", NOW, "PUT", PATH, QUERY, HEADERS, EMPTY_SHA256)),
        Micro("SigV4 presigned", lambda: presign(KEYS, "us-east-1", NOW, HEADERS["host"], PATH, (), 600)),
        Micro("token sign", lambda: UploadToken("team/app", "e" * 32, "sha256", next(offsets)).sign(TOKEN_KEY)),
        Micro("token verify", lambda: ShownToken.read(text).verify("team/app", "e" * 32, TOKEN_KEY)),
    ]
