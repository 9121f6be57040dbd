"""What the store makes of answers that were lost, and of those that prove less than they say."""

from __future__ import annotations

import base64
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.unit.s3.scripted import Drop, Reply, ScriptedServer
from zotpy.s3.client import open_client
from zotpy.store.interface import (
    ConditionFailed,
    ContentRejected,
    KeyMissing,
    Part,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from zotpy.store.s3 import S3Store
from zotpy.store.s3.completion import Completions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import trio

    from tests.unit.s3.scripted import Act

MODIFIED = {"last-modified": "Tue, 24 Nov 2026 09:00:00 GMT", "etag": '"stored"'}
FAILED = Reply(412, b"<Error><Code>PreconditionFailed</Code></Error>")
NO_UPLOAD = Reply(404, b"<Error><Code>NoSuchUpload</Code></Error>")
NO_KEY = Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
BROKEN = Reply(500, b"<Error><Code>InternalError</Code></Error>")
PROVING = Completions(etag_proves=True)


def part(number: int, content: bytes) -> Part:
    """Return a part as S3 acknowledges it, its ETag an MD5."""
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Part(number, f'"{etag}"', base64.b64encode(bytes(4)).decode())


def etag_of(parts: Sequence[Part]) -> str:
    """Compute the ETag of an object made of these parts."""
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'


def completed(etag: str) -> Reply:
    """Return S3's answer to a completion."""
    quoted = etag.replace('"', "&#34;")
    document = f"<CompleteMultipartUploadResult><ETag>{quoted}</ETag></CompleteMultipartUploadResult>"
    return Reply(200, document.encode())


OURS = [part(1, b"one"), part(2, b"two")]
OTHERS = [part(1, b"one"), part(2, b"other")]


@asynccontextmanager
async def store_on(server: ScriptedServer, completions: Completions = PROVING) -> AsyncIterator[S3Store]:
    """Open a store that calls the server."""
    async with open_client(server.config()) as client:
        yield S3Store(client, "a/b", completions=completions)


@pytest.mark.parametrize("lost", [Drop(), BROKEN], ids=["drop", "500"])
async def test_a_create_whose_answer_was_lost_has_succeeded(lost: Act, nursery: trio.Nursery) -> None:
    """A condition that fails because of the call's own earlier attempt is a success."""
    server = await ScriptedServer([lost, FAILED, Reply(200, b"mine", MODIFIED)]).start(nursery)
    async with store_on(server) as store:
        stored = await store.put("tags/x", b"mine", if_none_match=True)
    assert stored.etag == '"stored"'
    assert [seen.method for seen in server.seen] == ["PUT", "PUT", "GET"]
    assert server.seen[1].headers["if-none-match"] == "*"


async def test_a_create_that_another_won_has_failed(nursery: trio.Nursery) -> None:
    """A lost answer does not make another's object ours."""
    server = await ScriptedServer([Drop(), FAILED, Reply(200, b"theirs", MODIFIED)]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ConditionFailed):
            await store.put("tags/x", b"mine", if_none_match=True)


async def test_a_create_whose_object_is_gone_again_has_failed(nursery: trio.Nursery) -> None:
    """If the object in the way does not exist any more, the write did not happen, and no key is called missing."""
    server = await ScriptedServer([Drop(), FAILED, NO_KEY]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ConditionFailed):
            await store.put("tags/x", b"mine", if_none_match=True)


async def test_a_plain_refusal_of_a_condition_costs_one_call(nursery: trio.Nursery) -> None:
    """Without a lost answer before it, a failed condition is believed at once."""
    server = await ScriptedServer([FAILED]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ConditionFailed):
            await store.put("tags/x", b"mine", if_match='"other"')
    assert len(server.seen) == 1


async def test_a_condition_on_an_absent_key_fails(nursery: trio.Nursery) -> None:
    """AWS answers NoSuchKey to `If-Match` if the object does not exist: that is a failed condition."""
    server = await ScriptedServer([NO_KEY]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ConditionFailed):
            await store.put("tags/x", b"mine", if_match='"other"')


async def test_a_proven_completion_costs_one_call(nursery: trio.Nursery) -> None:
    """The ETag of the answer says that the object is made of our parts."""
    server = await ScriptedServer([completed(etag_of(OURS))]).start(nursery)
    async with store_on(server) as store:
        stored = await store.complete_multipart("data/x", "id", OURS)
    assert stored.verified
    assert stored.etag == etag_of(OURS)
    assert len(server.seen) == 1
    assert server.seen[0].target == "/bucket/a/b/data/x?uploadId=id"


@pytest.mark.parametrize(
    "failed",
    [Reply(200, b"<?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>"), Reply(200, b"<Err", cut_to=2)],
    ids=["error-inside", "cut"],
)
async def test_a_completion_that_fails_after_its_200_is_sent_again(failed: Reply, nursery: trio.Nursery) -> None:
    """S3 sends the headers of a completion before it knows how it ends."""
    server = await ScriptedServer([failed, completed(etag_of(OURS))]).start(nursery)
    async with store_on(server) as store:
        assert (await store.complete_multipart("data/x", "id", OURS)).verified


async def test_a_completion_with_other_parts_is_rejected(nursery: trio.Nursery) -> None:
    """A store that answers 200 to a second completion gives itself away by the ETag of the first."""
    server = await ScriptedServer([completed(etag_of(OTHERS))]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ContentRejected):
            await store.complete_multipart("data/x", "id", OURS)


async def test_an_etag_that_proves_nothing_is_left_to_be_read_back(nursery: trio.Nursery) -> None:
    """Where ETags are no MD5s, the answer is a success that is not verified."""
    server = await ScriptedServer([completed('"opaque-2"')]).start(nursery)
    opaque = [Part(1, '"p1"', "AAAAAA=="), Part(2, '"p2"', "AAAAAA==")]
    async with store_on(server) as store:
        assert not (await store.complete_multipart("data/x", "id", opaque)).verified


async def test_a_completion_whose_answer_was_lost_is_found_done(nursery: trio.Nursery) -> None:
    """After a lost answer, NoSuchUpload means that the object is there: its ETag tells whether it is ours."""
    server = await ScriptedServer([Drop(), NO_UPLOAD, Reply(200, b"", {"etag": etag_of(OURS)})]).start(nursery)
    async with store_on(server) as store:
        stored = await store.complete_multipart("data/x", "id", OURS)
    assert stored.verified
    assert [seen.method for seen in server.seen] == ["POST", "POST", "HEAD"]


async def test_a_lost_completion_that_another_won_is_rejected(nursery: trio.Nursery) -> None:
    """After a lost answer, an object made of other parts is another request's."""
    server = await ScriptedServer([Drop(), NO_UPLOAD, Reply(200, b"", {"etag": etag_of(OTHERS)})]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(ContentRejected):
            await store.complete_multipart("data/x", "id", OURS)


async def test_a_lost_completion_without_an_etag_that_proves_is_read_back(nursery: trio.Nursery) -> None:
    """Even a store that refuses other completions cannot vouch for an object that is found later."""
    server = await ScriptedServer([Drop(), NO_UPLOAD, Reply(200, b"", {"etag": '"opaque"'})]).start(nursery)
    async with store_on(server, Completions(others_refused=True)) as store:
        assert not (await store.complete_multipart("data/x", "id", OURS)).verified


async def test_a_multipart_that_was_aborted_is_missing(nursery: trio.Nursery) -> None:
    """After a lost answer, without multipart and without object, nothing was completed."""
    server = await ScriptedServer([Drop(), NO_UPLOAD, Reply(404)]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(KeyMissing):
            await store.complete_multipart("data/x", "id", OURS)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (NO_KEY, KeyMissing),
        (Reply(404, b"<Error><Code>NoSuchBucket</Code></Error>"), StoreRefused),
        (Reply(404, b"<html>a proxy</html>"), StoreRefused),
        (Reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"), StoreRefused),
        (BROKEN, StoreUnavailable),
        (Reply(200, b"x", {"last-modified": "never"}), StoreUnavailable),
        (Reply(200, b"x"), StoreUnavailable),
        (Drop(), StoreUnavailable),
    ],
)
async def test_every_failure_of_a_read_is_a_store_error(
    reply: Act, kind: type[StoreError], nursery: trio.Nursery
) -> None:
    """S3's errors, a proxy's and the network's come out as the kinds of the contract."""
    server = await ScriptedServer([reply]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(StoreError) as caught:
            await store.get("tags/x")
    assert type(caught.value) is kind


@pytest.mark.parametrize("code", [" NoSuchKey\n", "<![CDATA[NoSuchKey]]>", "NoSuch&#75;ey"])
async def test_an_object_is_missing_however_its_document_is_written(code: str, nursery: trio.Nursery) -> None:
    """It may have blanks, or any other spelling of XML."""
    document = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode()
    server = await ScriptedServer([Reply(404, document)] * 2).start(nursery)
    async with store_on(server) as store:
        assert await store.find("tags/x") is None
        with pytest.raises(KeyMissing):
            await store.get("tags/x")


async def test_only_the_store_itself_says_that_an_object_is_missing(nursery: trio.Nursery) -> None:
    """A 404 of a proxy, or of a bucket that does not exist, says nothing about the object."""
    server = await ScriptedServer([NO_KEY, Reply(404), Reply(404, b"<Error><Code>NoSuchBucket</Code></Error>")]).start(
        nursery
    )
    async with store_on(server) as store:
        assert await store.find("tags/x") is None
        for _ in range(2):
            with pytest.raises(StoreRefused):
                await store.find("tags/x")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"<ListBucketResult>", b"<ListBucketResult><Contents/></ListBucketResult>"]
)
async def test_a_listing_that_cannot_be_read_is_not_an_empty_one(body: bytes, nursery: trio.Nursery) -> None:
    """The collector must not take a broken listing for an empty store."""
    server = await ScriptedServer([Reply(200, body)]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(StoreUnavailable):
            await store.list("leases/")


async def test_an_object_that_reads_like_an_error_is_read(nursery: trio.Nursery) -> None:
    """The body of an object is never taken for S3's own words."""
    body = b"<Error><Code>SlowDown</Code></Error>"
    server = await ScriptedServer([Reply(200, body, MODIFIED)]).start(nursery)
    async with store_on(server) as store:
        assert (await store.get("tags/x")).body == body


async def test_objects_that_were_not_deleted_are_an_error(nursery: trio.Nursery) -> None:
    """One key that cannot be deleted, by itself either, fails the call; one that was gone already does not."""
    gone = b"<DeleteResult><Error><Key>a/b/y</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    failed = b"<DeleteResult><Error><Key>a/b/x</Key><Code>InternalError</Code></Error></DeleteResult>"
    server = await ScriptedServer([Reply(200, gone), Reply(200, failed), BROKEN]).start(nursery)
    async with store_on(server) as store:
        await store.delete_many(["x", "y"])
        with pytest.raises(StoreUnavailable, match="InternalError"):
            await store.delete_many(["x", "y"])
    assert b"<Key>a/b/x</Key>" in server.seen[0].body


@pytest.mark.parametrize("filename", ["layer.tar", 'a"; b="c\r\nx', "é"])
async def test_a_presigned_name_stays_one_name(filename: str, nursery: trio.Nursery) -> None:
    """Whatever a file is called, its name breaks neither the URL nor the header that the store makes of it."""
    server = await ScriptedServer([Reply()]).start(nursery)
    async with store_on(server) as store:
        url = await store.presign_get("data/x", expires_s=60, filename=filename)
    fields = parse_qs(urlsplit(url).query)
    encoded = fields["response-content-disposition"][0].removeprefix("attachment; filename*=UTF-8''")
    assert unquote(encoded) == filename
    assert encoded.isascii()
    assert not set(encoded) & set('"; \r\n')


@pytest.mark.parametrize("checksums", [True, False])
async def test_checksums_are_sent_throughout_or_not_at_all(
    checksums: bool,  # noqa: FBT001
    nursery: trio.Nursery,
) -> None:
    """A service that knows no CRCs sees none, in no header and in no document."""
    begun = Reply(200, b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
    sent = Reply(200, b"", {"etag": OURS[0].etag})
    server = await ScriptedServer([begun, sent, completed(etag_of(OURS[:1])), Reply()]).start(nursery)
    async with open_client(server.config(checksums=checksums)) as client:
        store = S3Store(client)
        multipart_id = await store.create_multipart("data/x")
        parts = [await store.put_part("data/x", multipart_id, 1, b"one")]
        assert (await store.complete_multipart("data/x", multipart_id, parts)).verified
        await store.put("tags/x", b"one")
    create, part_sent, complete, put = server.seen
    assert ("x-amz-checksum-algorithm" in create.headers) is checksums
    assert ("x-amz-checksum-crc32c" in part_sent.headers) is checksums
    assert (b"ChecksumCRC32C" in complete.body) is checksums
    assert ("x-amz-checksum-crc32c" in put.headers) is checksums
