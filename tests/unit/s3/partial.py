"""An S3 service that lacks what real ones lack: DeleteObjects, checksums by CRC, a bucket, permissions."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.s3.scripted import DATE, Computed, Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from tests.unit.s3.scripted import Endless, Seen

DOCUMENTS = {
    "ListObjectsV2": b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    "CreateMultipartUpload": b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>",
    "CompleteMultipartUpload": b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
    "DeleteObjects": b"<DeleteResult/>",
}


def error(status: int, code: str, message: str = "") -> Reply:
    """Return S3's document of an error."""
    return Reply(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def operation_of(seen: Seen) -> str:
    """Name the operation of a request, as S3 does."""
    url = urlsplit(seen.target)
    query = parse_qs(url.query, keep_blank_values=True)
    of_bucket = url.path.strip("/") == "bucket"
    if "uploads" in query:
        return "CreateMultipartUpload" if seen.method == "POST" else "ListMultipartUploads"
    if "uploadId" in query:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return names[seen.method]
    if of_bucket:
        return {"PUT": "CreateBucket", "POST": "DeleteObjects", "GET": "ListObjectsV2"}[seen.method]
    return {"PUT": "PutObject", "GET": "GetObject", "DELETE": "DeleteObject"}[seen.method]


@dataclass(slots=True)
class PartialService:
    """A service with one bucket; `refuse` answers in its place where it returns a reply."""

    refuse: Callable[[str, Seen], Reply | Endless | None] = lambda _operation, _seen: None
    has_bucket: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)

    async def start(self, nursery: trio.Nursery) -> ScriptedServer:
        """Listen until the nursery is cancelled."""
        return await ScriptedServer([Computed(self.answer)]).start(nursery)

    def answer(self, seen: Seen) -> Reply | Endless:
        """Answer one request."""
        operation = operation_of(seen)
        self.operations.append(operation)
        if operation == "CreateBucket":
            self.has_bucket = True
            return Reply()
        if (refusal := self.refuse(operation, seen)) is not None:
            return refusal
        if operation == "PutObject":
            self.has_bucket = True  # as SeaweedFS does for an admin's key
        if not self.has_bucket:
            return error(404, "NoSuchBucket")
        return self._do(operation, unquote(urlsplit(seen.target).path).removeprefix("/bucket/"), seen)

    def _do(self, operation: str, key: str, seen: Seen) -> Reply:
        etag = f'"{hashlib.md5(seen.body, usedforsecurity=False).hexdigest()}"'
        headers = {"etag": etag, "last-modified": DATE}
        match operation:
            case "PutObject":
                self.objects[key] = seen.body
            case "DeleteObject":
                self.objects.pop(key, None)
            case "DeleteObjects":
                for name in re.findall(rb"<Key>(.*?)</Key>", seen.body):
                    self.objects.pop(unescape(name.decode()), None)
            case "GetObject":
                return Reply(200, self.objects[key], headers) if key in self.objects else error(404, "NoSuchKey")
        return Reply(200, DOCUMENTS.get(operation, b""), headers)
