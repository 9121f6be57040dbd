"""What a person reads where the store refuses: its own words, which permission is missing, and its request id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.s3.scripted import Reply, ScriptedServer
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Error
from zotpy.store.interface import StoreRefused
from zotpy.store.s3 import S3Store

if TYPE_CHECKING:
    import trio

WRONG_REGION = b"""<?xml version="1.0" encoding="UTF-8"?><Error><Code>AuthorizationHeaderMalformed</Code>
<Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>
<Region>eu-west-1</Region><RequestId>R1</RequestId></Error>"""
NOT_IMPLEMENTED = b"""<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not
implemented.</Message><Header>x-amz-checksum-crc32c</Header></Error>"""
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


async def refusal(reply: Reply, request: Request, nursery: trio.Nursery) -> str:
    """Return the words of the error of a call that is answered so."""
    server = await ScriptedServer([reply]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Error) as caught:
            await client.call(request)
    return str(caught.value)


GET = Request("GetObject", "GET", "key")
PUT = Request("PutObject", "PUT", "key", body=b"x")


async def test_the_store_says_which_region_it_expects(nursery: trio.Nursery) -> None:
    """Its message and its request id are part of ours; what stands in the document counts where no header has it."""
    words = await refusal(Reply(400, WRONG_REGION), GET, nursery)
    assert words.startswith("GetObject: the store answered 400 AuthorizationHeaderMalformed (The authorization header")
    assert "expecting 'eu-west-1'" in words
    assert words.endswith("request id R1)")


async def test_the_store_says_in_a_header_where_a_bucket_is(nursery: trio.Nursery) -> None:
    """An answer without a document, as to a HEAD, has the region in a header."""
    headers = {"x-amz-bucket-region": "eu-west-1", "x-amz-request-id": "R2"}
    words = await refusal(Reply(301, b"", headers), Request("HeadObject", "HEAD", "key"), nursery)
    assert words == "HeadObject: the store answered 301 (the bucket is in eu-west-1; request id R2)"


async def test_the_store_says_which_header_it_refuses(nursery: trio.Nursery) -> None:
    """The name stands beside the message."""
    words = await refusal(Reply(501, NOT_IMPLEMENTED), PUT, nursery)
    assert "501 NotImplemented" in words
    assert "not implemented.; Header x-amz-checksum-crc32c" in words


async def test_the_store_says_why_it_is_not_available(nursery: trio.Nursery) -> None:
    """The message of the last attempt is kept."""
    assert "503 SlowDown (Please reduce your request rate.)" in await refusal(Reply(503, BUSY), GET, nursery)


@pytest.mark.parametrize(
    ("request_", "permission"),
    [
        (GET, "s3:GetObject"),
        (PUT, "s3:PutObject"),
        (Request("UploadPart", "PUT", "key"), "s3:PutObject"),
        (Request("ListMultipartUploads", "GET"), "s3:ListBucketMultipartUploads"),
        (Request("AbortMultipartUpload", "DELETE", "key"), "s3:AbortMultipartUpload"),
    ],
)
async def test_a_permission_that_is_missing_is_named_with_the_bucket(
    request_: Request, permission: str, nursery: trio.Nursery
) -> None:
    """The operator need not guess what a 403 wants."""
    words = await refusal(Reply(403, DENIED), request_, nursery)
    assert f"Access Denied; allow its keys {permission} on the bucket 'bucket'" in words


async def test_other_refusals_ask_for_no_permission(nursery: trio.Nursery) -> None:
    """A signature that does not match is no matter of permissions."""
    body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>check your key</Message></Error>"
    assert "allow" not in await refusal(Reply(403, body), GET, nursery)


async def test_a_key_that_could_not_be_deleted_names_the_permission(nursery: trio.Nursery) -> None:
    """DeleteObjects answers 200 and has the refusals of keys inside."""
    body = b"<DeleteResult><Error><Key>x</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    server = await ScriptedServer([Reply(200, body), Reply(403, DENIED)]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(StoreRefused, match=r"allow its keys s3:DeleteObject on the bucket 'bucket'"):
            await S3Store(client).delete_many(["x", "y"])


@pytest.mark.parametrize(
    ("reply", "request_", "is_hinted"),
    [
        (Reply(404, b"404 page not found"), GET, True),
        (Reply(405, b"<html><body>Not allowed</body></html>"), PUT, True),
        (Reply(404), Request("HeadObject", "HEAD", "key"), False),
        (Reply(403), GET, False),
        (Reply(404, b"<Error><Code>NoSuchBucket</Code></Error>"), GET, False),
    ],
)
async def test_an_answer_that_is_none_of_s3_leads_to_the_address(
    nursery: trio.Nursery, reply: Reply, request_: Request, *, is_hinted: bool
) -> None:
    """A web server at the wrong port answers too; an answer to a HEAD never has a document."""
    words = await refusal(reply, request_, nursery)
    assert ("this is no error of S3: check the address of the service, and its port" in words) == is_hinted
