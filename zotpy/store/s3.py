"""The store on an S3 service: each operation is one S3 call."""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import crc32c
import httpx
import trio

from zotpy.s3.client import AmbiguousRefusal, Answer, Request, S3Client
from zotpy.s3.errors import S3Error, S3Refused, S3Unavailable
from zotpy.s3.wire import responses
from zotpy.s3.wire.responses import ResponseError
from zotpy.s3.wire.retry import Failure, delay_before_retry
from zotpy.store.interface import (
    Body,
    ConditionFailed,
    ContentRejected,
    Features,
    Fetched,
    KeyMissing,
    Listed,
    ListedMultipart,
    Listing,
    Part,
    Stored,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)

_CODES: dict[str, type[StoreError]] = {
    "NoSuchKey": KeyMissing,
    "NoSuchUpload": KeyMissing,
    "PreconditionFailed": ConditionFailed,
    "InvalidPart": ContentRejected,
    "InvalidPartOrder": ContentRejected,
    "BadDigest": ContentRejected,
}
_STATUSES: dict[int, type[StoreError]] = {404: KeyMissing, 412: ConditionFailed}
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_NO_FEATURES = Features(conditional_create=False, conditional_replace=False, conditional_delete=False)


@contextmanager
def _mapped(*, bucket_is_missing: bool = False) -> Iterator[None]:
    """Turn S3's errors into the store's, by one table."""
    try:
        yield
    except S3Refused as error:
        kind = _CODES.get(error.code) or (_STATUSES.get(error.status) if not error.code else None)
        if error.code == "NoSuchBucket" and not bucket_is_missing:
            kind = StoreRefused
        raise (kind or StoreRefused)(str(error)) from error
    except (S3Unavailable, ResponseError) as error:
        raise StoreUnavailable(str(error)) from error
    except S3Error as error:
        raise StoreRefused(str(error)) from error


class S3Store:
    """One bucket, below one prefix."""

    def __init__(self, client: S3Client, prefix: str = "", features: Features = _NO_FEATURES) -> None:
        """Put every key below `prefix`, with or without slashes at its ends."""
        self.client = client
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._features = features

    @property
    def features(self) -> Features:
        """What the store was seen to do."""
        return self._features

    async def get(self, key: str) -> Fetched:
        """GetObject."""
        with _mapped():
            answer = await self.client.call(Request("GetObject", "GET", self._prefix + key))
            modified = responses.parse_time(answer.headers["last-modified"])
            return Fetched(answer.body, answer.headers.get("etag", ""), modified, _store_time(answer))

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """GetObject with a Range, gone on with from the byte reached when it breaks."""
        async with AsyncExitStack() as stack:
            reader = _Reader(self, stack, key, start, end)
            await reader.connect()
            yield reader

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """PutObject."""
        headers = {"content-type": "application/octet-stream"}
        if if_none_match:
            headers["if-none-match"] = "*"
        if if_match is not None:
            headers["if-match"] = if_match
        with _mapped():
            try:
                request = Request("PutObject", "PUT", self._prefix + key, (), headers, body, checksum=True)
                answer = await self.client.call(request)
            except AmbiguousRefusal as error:
                if error.status != httpx.codes.PRECONDITION_FAILED:
                    raise
                return await self._own_write(key, body, error)
            return Stored(answer.headers.get("etag", ""), _store_time(answer))

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """DeleteObject."""
        headers = {} if if_match is None else {"if-match": if_match}
        with _mapped():
            try:
                await self.client.call(Request("DeleteObject", "DELETE", self._prefix + key, (), headers))
            except S3Refused as error:
                if error.status != httpx.codes.NOT_FOUND or error.code == "NoSuchBucket":
                    raise

    async def delete_many(self, keys: Sequence[str]) -> None:
        """DeleteObjects."""
        if not keys:
            return
        items = "".join(f"<Object><Key>{escape(self._prefix + key)}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{items}</Delete>".encode()
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"content-md5": md5, "content-type": "application/xml"}
        with _mapped():
            answer = await self.client.call(
                Request("DeleteObjects", "POST", None, (("delete", ""),), headers, body, checksum=True)
            )
            codes = [code for code in responses.delete_errors(answer.body) if code != "NoSuchKey"]
        if codes:
            msg = f"DeleteObjects: {len(codes)} of {len(keys)} failed, the first with {codes[0]}"
            raise StoreUnavailable(msg)

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """ListObjectsV2."""
        query = [("list-type", "2"), ("prefix", self._prefix + prefix), ("max-keys", str(limit))]
        if start_after:
            query.append(("start-after", self._prefix + start_after))
        if directories:
            query.append(("delimiter", "/"))
        with _mapped():
            answer = await self.client.call(Request("ListObjectsV2", "GET", None, query))
            listing = responses.parse_listing(answer.body)
            cut = len(self._prefix)
            objects = [Listed(o.key[cut:], o.size_bytes, o.etag, o.last_modified) for o in listing.objects]
            folded = tuple(folded[cut:] for folded in listing.prefixes)
            return Listing(objects, listing.truncated, _store_time(answer), folded)

    async def create_multipart(self, key: str) -> str:
        """CreateMultipartUpload."""
        headers = {"content-type": "application/octet-stream", "x-amz-checksum-algorithm": "CRC32C"}
        with _mapped():
            request = Request("CreateMultipartUpload", "POST", self._prefix + key, (("uploads", ""),), headers)
            return responses.parse_field((await self.client.call(request)).body, "UploadId")

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """UploadPart."""
        query = (("partNumber", str(number)), ("uploadId", multipart_id))
        with _mapped():
            answer = await self.client.call(
                Request("UploadPart", "PUT", self._prefix + key, query, None, body, checksum=True)
            )
            return Part(number, answer.headers.get("etag", ""), answer.crc32c)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """CompleteMultipartUpload; `verified` where the answer proves that the object is made of these parts."""
        request = Request(
            "CompleteMultipartUpload",
            "POST",
            self._prefix + key,
            (("uploadId", multipart_id),),
            {"content-type": "application/xml"},
            _complete_document(parts),
        )
        with _mapped():
            try:
                answer = await self.client.call(request)
            except AmbiguousRefusal as error:
                return await self._completed_before(key, parts, error)
            root = responses.parse_xml(answer.body)
            etag = root.findtext("ETag") or ""
            verified = _proves(parts, etag, root.findtext("ChecksumCRC32C") or "")
            return Stored(etag, _store_time(answer), verified)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """AbortMultipartUpload."""
        query = (("uploadId", multipart_id),)
        with _mapped():
            try:
                await self.client.call(Request("AbortMultipartUpload", "DELETE", self._prefix + key, query))
            except S3Refused as error:
                if error.status != httpx.codes.NOT_FOUND:
                    raise

    async def list_multiparts(self, prefix: str, *, limit: int = 1000) -> Sequence[ListedMultipart]:
        """ListMultipartUploads."""
        query = (("uploads", ""), ("prefix", self._prefix + prefix), ("max-uploads", str(limit)))
        with _mapped():
            answer = await self.client.call(Request("ListMultipartUploads", "GET", None, query))
            found = responses.parse_uploads(answer.body)
        return [ListedMultipart(u.key[len(self._prefix) :], u.upload_id, u.initiated) for u in found]

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Sign a GetObject URL."""
        query = [] if filename is None else [("response-content-disposition", f'attachment; filename="{filename}"')]
        with _mapped():
            return self.client.presign_get(self._prefix + key, await self.client.keys(), expires_s, query)

    async def create_bucket(self) -> None:
        """CreateBucket; no error where it is ours already."""
        config = self.client.config
        body = b""
        if config.endpoint is None and config.region != "us-east-1":
            region = escape(config.region)
            constraint = f"<LocationConstraint>{region}</LocationConstraint>"
            body = f"<CreateBucketConfiguration>{constraint}</CreateBucketConfiguration>".encode()
        with _mapped(bucket_is_missing=True):
            try:
                await self.client.call(Request("CreateBucket", "PUT", None, (), None, body))
            except S3Refused as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    async def _own_write(self, key: str, body: Body, error: S3Refused) -> Stored:
        """Tell whether a refused conditional write failed because an earlier attempt of it had succeeded."""
        answer = await self.client.call(Request("GetObject", "GET", self._prefix + key))
        if answer.body != bytes(body):
            raise error
        return Stored(answer.headers.get("etag", ""), _store_time(answer))

    async def _completed_before(self, key: str, parts: Sequence[Part], error: S3Refused) -> Stored:
        """Tell whether an earlier attempt completed the multipart, whose answer was lost."""
        if error.status != httpx.codes.NOT_FOUND:
            raise error
        answer = await self.client.call(Request("HeadObject", "HEAD", self._prefix + key))
        etag = answer.headers.get("etag", "")
        return Stored(etag, _store_time(answer), _proves(parts, etag, ""))


class _Reader:
    """The bytes of a range, over as many connections as it takes."""

    def __init__(self, store: S3Store, stack: AsyncExitStack, key: str, start: int, end: int) -> None:
        self._store = store
        self._stack = stack
        self._key = key
        self._at = start
        self._end = end
        self._attempt = 0
        self._chunks: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def connect(self) -> None:
        """Ask for the bytes that are missing, and again until the attempts run out."""
        policy = self._store.client.config.retry
        while True:
            self._attempt += 1
            try:
                with _mapped():
                    await self._connect_once()
            except StoreUnavailable as error:
                delay = delay_before_retry(policy, self._attempt, Failure(), 0.5)
                if delay is None:
                    raise
                await trio.sleep(delay)
                del error
            else:
                return

    async def _connect_once(self) -> None:
        await self._stack.aclose()
        headers = {"range": f"bytes={self._at}-{self._end - 1}"}
        request = Request("GetObject", "GET", self._store._prefix + self._key, (), headers)  # noqa: SLF001
        response = await self._stack.enter_async_context(self._store.client.stream(request))
        length = response.headers.get("content-length")
        if (response.status_code != httpx.codes.PARTIAL_CONTENT and self._at > 0) or (
            length is not None and int(length) != self._end - self._at
        ):
            msg = f"the store has other bytes of {self._key} than its record says"
            raise StoreRefused(msg)
        self._chunks = response.aiter_raw()

    async def __anext__(self) -> bytes:
        while True:
            try:
                chunk = await anext(self._chunks, b"")
            except httpx.TransportError:
                chunk = b""
            if chunk:
                self._attempt = 0
                self._at += len(chunk)
                return chunk
            if self._at >= self._end:
                raise StopAsyncIteration
            await self.connect()


def _store_time(answer: Answer) -> datetime:
    date = answer.headers.get("date")
    return responses.parse_time(date) if date else datetime.now(UTC)


def _complete_document(parts: Sequence[Part]) -> bytes:
    items = "".join(
        f"<Part><ChecksumCRC32C>{part.crc32c}</ChecksumCRC32C><ETag>{escape(part.etag)}</ETag>"
        f"<PartNumber>{part.number}</PartNumber></Part>"
        for part in parts
    )
    return f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()


def _proves(parts: Sequence[Part], etag: str, composite_crc: str) -> bool:
    """Say whether an ETag, or a checksum of checksums, is that of an object made of exactly these parts."""
    if composite_crc:
        crcs = b"".join(base64.b64decode(part.crc32c) for part in parts)
        expected = base64.b64encode(crc32c.crc32c(crcs).to_bytes(4, "big")).decode()
        if composite_crc == f"{expected}-{len(parts)}":
            return True
    digests = [match[1] for part in parts if (match := _MD5.fullmatch(part.etag))]
    if len(digests) != len(parts):
        return False
    joined = hashlib.md5(binascii.unhexlify("".join(digests)), usedforsecurity=False).hexdigest()
    return etag.strip('"') == f"{joined}-{len(parts)}"
