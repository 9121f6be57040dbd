"""Each operation of the store's contract as one S3 call."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote
from xml.sax.saxutils import escape

from zotpy.s3.client import AmbiguousRefusal, Answer, Request, S3Client
from zotpy.s3.errors import S3Refused
from zotpy.s3.wire import responses
from zotpy.store.interface import (
    Body,
    ConditionFailed,
    Features,
    Fetched,
    KeyMissing,
    Listing,
    MultipartListing,
    MultipartMarker,
    Part,
    Stored,
    require,
)
from zotpy.store.own_writes import own_write
from zotpy.store.s3.completion import Completions, complete_document
from zotpy.store.s3.deleting import Deletions
from zotpy.store.s3.error_table import store_errors
from zotpy.store.s3.listing import MOST_LISTED, Listings
from zotpy.store.s3.range_reader import RangeReader
from zotpy.store.s3.times import store_time_of

_NO_FEATURES = Features(conditional_create=False, conditional_replace=False, conditional_delete=False)


class S3Store:
    """One bucket, below one prefix."""

    def __init__(
        self,
        client: S3Client,
        prefix: str = "",
        features: Features = _NO_FEATURES,
        completions: Completions = Completions(),  # noqa: B008 - frozen
    ) -> None:
        """Put every key below `prefix`, with or without slashes at its ends.

        The other arguments are what a probe saw.
        """
        self.client = client
        self._completions = completions
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._features = features
        self.listings = Listings(client, self._prefix)
        self.deletions = Deletions(client, self._prefix, self.delete)
        self.deletions.in_one_call = features.bulk_delete

    @property
    def features(self) -> Features:
        """What the store was seen to do."""
        return self._features

    async def get(self, key: str, *, most_bytes: int | None = None) -> Fetched:
        """GetObject, with a Range if only its beginning is wanted."""
        return require(key, await self.find(key, most_bytes=most_bytes))

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """GetObject of an object that may be missing."""
        with suppress(KeyMissing), store_errors():  # a service may write the same document in another way
            answer = await self._read(key, most_bytes)
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            modified = responses.parse_time(answer.headers.get("last-modified", ""))
            total = responses.parse_total(answer.headers.get("content-range", ""))
            is_whole = total is None or total <= len(answer.body)
            etag = answer.headers.get("etag", "")
            return Fetched(answer.body, etag, modified, store_time_of(answer), None if is_whole else total)
        return None

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """GetObject with a Range. If it breaks, a new one continues from the byte reached."""
        async with AsyncExitStack() as stack:
            reader = RangeReader(self.client, stack, self._prefix + key, start, end)
            await reader.connect()
            yield reader

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """PutObject."""
        headers = {"content-type": "application/octet-stream"}
        if if_none_match:
            headers["if-none-match"] = "*"
        if if_match is not None:
            headers["if-match"] = if_match
        request = Request("PutObject", "PUT", self._prefix + key, (), headers, body, checksum=True)
        try:
            with store_errors():
                answer = await self.client.call(request)
                return Stored(answer.headers.get("etag", ""), store_time_of(answer))
        except KeyMissing as error:  # what AWS calls a condition on an absent key
            if if_match is None:
                raise
            raise ConditionFailed(str(error)) from error
        except ConditionFailed as error:
            if not isinstance(error.__cause__, AmbiguousRefusal):
                raise
            return await own_write(self, key, body, error)

    async def put_as(self, key: str, body: bytes, headers: Mapping[str, str]) -> None:
        """PutObject with these headers, and no checksum but what they have."""
        described = {"content-type": "application/octet-stream", **headers}
        with store_errors():
            await self.client.call(Request("PutObject", "PUT", self._prefix + key, (), described, body))

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """DeleteObject."""
        headers = {} if if_match is None else {"if-match": if_match}
        with store_errors():
            try:
                await self.client.call(Request("DeleteObject", "DELETE", self._prefix + key, (), headers))
            except S3Refused as error:
                if error.code != "NoSuchKey":
                    raise

    async def delete_many(self, keys: Sequence[str]) -> None:
        """DeleteObjects, or DeleteObject for each key if the store has refused that."""
        if keys:
            await self.deletions.delete_many(keys)

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """ListObjectsV2, or ListObjects if the store was seen to need it."""
        return await self.listings.list(prefix, start_after, limit, directories=directories)

    async def create_multipart(self, key: str) -> str:
        """CreateMultipartUpload."""
        headers = {"content-type": "application/octet-stream"}
        if self.client.sends_crcs:
            headers["x-amz-checksum-algorithm"] = "CRC32C"
        with store_errors():
            request = Request("CreateMultipartUpload", "POST", self._prefix + key, (("uploads", ""),), headers)
            return responses.parse_field((await self.client.call(request)).body, "UploadId")

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """UploadPart."""
        query = (("partNumber", str(number)), ("uploadId", multipart_id))
        with store_errors():
            answer = await self.client.call(
                Request("UploadPart", "PUT", self._prefix + key, query, None, body, checksum=True)
            )
            return Part(number, answer.headers.get("etag", ""), answer.crc32c)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """CompleteMultipartUpload; `verified` if the answer proves that the object is made of these parts."""
        with store_errors():
            try:
                etag, store_time = await self.complete(key, multipart_id, parts)
            except AmbiguousRefusal as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                # an earlier attempt may have completed it, and its answer was lost; or another request has completed it
                answer = await self.client.call(Request("HeadObject", "HEAD", self._prefix + key))
                etag, store_time = answer.headers.get("etag", ""), store_time_of(answer)
                verified = replace(self._completions, others_refused=False).verify(parts, etag)
                return Stored(etag, store_time, verified)
        return Stored(etag, store_time, self._completions.verify(parts, etag))

    async def complete(self, key: str, multipart_id: str, parts: Sequence[Part]) -> tuple[str, datetime]:
        """CompleteMultipartUpload; return the ETag that the store answers, and its time. Raises `S3Error`."""
        query = (("uploadId", multipart_id),)
        headers = {"content-type": "application/xml"}
        document = complete_document(parts)
        request = Request("CompleteMultipartUpload", "POST", self._prefix + key, query, headers, document)
        answer = await self.client.call(request)
        return responses.parse_field(answer.body, "ETag"), store_time_of(answer)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """AbortMultipartUpload."""
        query = (("uploadId", multipart_id),)
        with store_errors():
            try:
                await self.client.call(Request("AbortMultipartUpload", "DELETE", self._prefix + key, query))
            except S3Refused as error:
                if error.code != "NoSuchUpload":
                    raise

    async def list_multiparts(
        self, prefix: str, *, after: MultipartMarker | None = None, limit: int = MOST_LISTED
    ) -> MultipartListing:
        """ListMultipartUploads."""
        return await self.listings.list_multiparts(prefix, after, limit)

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Sign a GetObject URL."""
        query = [] if filename is None else [("response-content-disposition", _attachment(filename))]
        with store_errors():
            return self.client.presign_get(self._prefix + key, await self.client.keys(), expires_s, query)

    async def create_bucket(self) -> None:
        """CreateBucket; no error if the bucket is ours already."""
        config = self.client.config
        body = b""
        if config.endpoint is None and config.region != "us-east-1":
            region = escape(config.region)
            constraint = f"<LocationConstraint>{region}</LocationConstraint>"
            body = f"<CreateBucketConfiguration>{constraint}</CreateBucketConfiguration>".encode()
        with store_errors():
            try:
                await self.client.call(Request("CreateBucket", "PUT", None, (), None, body))
            except S3Refused as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    async def _read(self, key: str, most_bytes: int | None = None) -> Answer:
        """Read an object, or its beginning. A service that knows no ranges sends all of it."""
        longest = self.client.config.longest_object_bytes
        headers = None if most_bytes is None else {"range": f"bytes=0-{most_bytes - 1}"}
        try:
            return await self.client.call(
                Request("GetObject", "GET", self._prefix + key, (), headers, most_bytes=longest, may_miss=True)
            )
        except S3Refused as error:
            if most_bytes is None or error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return await self._read(key)  # the object is empty


def _attachment(filename: str) -> str:
    """Write a Content-Disposition (RFC 6266) that no name can break, whatever quotes or letters it has."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
