"""S3's protocol without I/O: signatures, documents, retry decisions."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from zotpy.s3.wire import error_answers, responses, signing
from zotpy.s3.wire.retry import Failure, RetryPolicy, delay_before_retry

KEYS = signing.Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


def test_get_with_a_range_is_signed_as_aws_documents() -> None:
    """The GET Object example of the AWS documentation gives its signature."""
    headers = {"host": HOST, "range": "bytes=0-9"}
    signed = signing.sign(KEYS, "us-east-1", MOMENT, "GET", "/test.txt", (), headers, signing.EMPTY_SHA256)
    assert signed["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_listing_is_signed_as_aws_documents() -> None:
    """The List Objects example of the AWS documentation gives its signature."""
    query = (("prefix", "J"), ("max-keys", "2"))
    signed = signing.sign(KEYS, "us-east-1", MOMENT, "GET", "/", query, {"host": HOST}, signing.EMPTY_SHA256)
    assert signed["authorization"].endswith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")


def test_presigned_url_is_signed_as_aws_documents() -> None:
    """The presigned URL of the AWS documentation has its signature."""
    query = signing.presign(KEYS, "us-east-1", MOMENT, HOST, "/test.txt", (), 86400)
    assert query.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@given(
    key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    query=st.lists(st.tuples(st.sampled_from("abc"), st.text("a Z/+&=~é%", max_size=6)), unique_by=lambda p: p[0]),
    token=st.none() | st.just("a/session+token="),
    etag=st.sampled_from([None, '"e"', "  spaced  "]),
)
def test_requests_are_signed_as_botocore_signs_them(
    key: str, query: list[tuple[str, str]], token: str | None, etag: str | None
) -> None:
    """AWS's own client gives the same signature, whatever the key, the query and the headers are."""
    keys = signing.Keys(KEYS.access_key, KEYS.secret_key, token)
    headers = {"host": HOST, "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": signing.UNSIGNED}
    headers |= {} if etag is None else {"if-match": etag}
    path = signing.quote_path(f"/bucket/{key}")
    signed = signing.sign(keys, "eu-central-1", MOMENT, "PUT", path, query, headers, signing.UNSIGNED)
    auth = S3SigV4Auth(Credentials(keys.access_key, keys.secret_key, token), "s3", "eu-central-1")
    encoded = signing.encode_query(query)
    theirs = AWSRequest("PUT", f"https://{HOST}{path}{'?' if encoded else ''}{encoded}", headers)
    if token is not None:
        theirs.headers["x-amz-security-token"] = token
    theirs.context["timestamp"] = headers["x-amz-date"]
    ours = signed["authorization"].rpartition("=")[2]
    assert ours == auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)


def test_session_token_is_signed() -> None:
    """Temporary keys send their token, and it is one of the signed headers."""
    keys = signing.Keys("a", "b", "token")
    signed = signing.sign(keys, "r", MOMENT, "GET", "/", (), {"host": "h"}, signing.UNSIGNED)
    assert signed["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in signed["authorization"]


def test_listing_is_read_with_and_without_namespace() -> None:
    """Objects, folded prefixes and the mark of a cut page are read from a listing."""
    body = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <IsTruncated>true</IsTruncated><Contents><Key>a!/b&amp;c</Key><Size>3</Size><ETag>"e"</ETag>
    <LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents>
    <CommonPrefixes><Prefix>a!/d/</Prefix></CommonPrefixes></ListBucketResult>"""
    listing = responses.parse_listing(body)
    assert listing.truncated
    assert listing.prefixes == ("a!/d/",)
    assert listing.objects[0].key == "a!/b&c"
    assert listing.objects[0].last_modified == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def test_a_success_that_holds_an_error_is_seen() -> None:
    """A 200 whose document is an error is no success."""
    body = b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"
    assert error_answers.error_inside(body)
    assert error_answers.parse_failure(500, body, {}).code == "InternalError"
    assert not error_answers.error_inside(b"<CompleteMultipartUploadResult/>")


@pytest.mark.parametrize("body", [b"", b"<html>", b"plain", b"<a><b></a>"])
def test_an_answer_that_is_not_s3_is_a_failure_without_a_code(body: bytes) -> None:
    """A proxy's page in place of S3's document breaks nothing."""
    assert error_answers.parse_failure(502, body, {"retry-after": "7"}) == Failure(502, "", 7.0)


@pytest.mark.parametrize(
    ("failure", "passes"),
    [
        (Failure(None), True),
        (Failure(503, "SlowDown"), True),
        (Failure(500), True),
        (Failure(400, "BadDigest"), False),
        (Failure(409, "ConditionalRequestConflict"), True),
        (Failure(409, "ExistingObjectIsDirectory"), True),
        (Failure(404, "NoSuchKey"), False),
        (Failure(403, "AccessDenied"), False),
        (Failure(412, "PreconditionFailed"), False),
        (Failure(501, "NotImplemented"), False),
    ],
)
def test_only_what_may_pass_is_sent_again(failure: Failure, passes: bool) -> None:  # noqa: FBT001
    """Failures of the moment are retried, refusals are not."""
    assert (delay_before_retry(RetryPolicy(), 1, failure, 0.5) is not None) is passes


@given(attempt=st.integers(1, 5), random=st.floats(0, 0.999), retry_after=st.none() | st.floats(0, 1000))
def test_delays_stay_within_the_policy(attempt: int, random: float, retry_after: float | None) -> None:
    """However long the store asks to wait, a delay is never longer than the longest, and there is a last attempt."""
    policy = RetryPolicy()
    failure = Failure(503, "SlowDown", retry_after)
    delay = delay_before_retry(policy, attempt, failure, random)
    assert delay is not None
    assert 0 <= delay <= policy.longest_delay_s
    assert delay_before_retry(policy, policy.attempts, failure, random) is None
