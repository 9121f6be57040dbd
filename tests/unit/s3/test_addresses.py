"""Where requests go for each way to name a bucket."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from zotpy.s3.bucket_address import aws_bucket_url
from zotpy.s3.client import Request, S3Client
from zotpy.s3.config import S3Config
from zotpy.s3.wire import signing
from zotpy.store.interface import StoreRefused
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zotpy.http.client.outgoing import Outgoing


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no AWS settings of the machine count."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    aws_bucket_url.cache_clear()
    yield
    aws_bucket_url.cache_clear()


class Success:
    """An answer without a body."""

    status = 200
    is_success = True
    headers: Mapping[str, str] = {}

    async def receive(self) -> bytes:
        """Receive nothing."""
        return b""

    async def aclose(self) -> None:
        """Do nothing."""


class Recorder:
    """A transport that answers at once and keeps the request."""

    last: Outgoing

    async def send(self, request: Outgoing, *, streamed: bool) -> Success:
        """Answer 200."""
        del streamed
        self.last = request
        return Success()


@pytest.mark.parametrize(
    ("endpoint", "path_style", "origin", "host", "target"),
    [
        (None, False, "https://bucket.s3.eu-west-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", "/k%21/x"),
        (None, True, "https://s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "/bucket/k%21/x"),
        ("http://store:9000", True, "http://store:9000", "store:9000", "/bucket/k%21/x"),
        ("http://store:9000/", False, "http://bucket.store:9000", "bucket.store:9000", "/k%21/x"),
        ("https://proxy/s3/", True, "https://proxy", "proxy", "/s3/bucket/k%21/x"),
        ("https://proxy/s3", False, "https://bucket.proxy", "bucket.proxy", "/s3/k%21/x"),
    ],
)
async def test_the_bucket_stands_in_the_host_or_in_the_path(
    endpoint: str | None,
    path_style: bool,  # noqa: FBT001
    origin: str,
    host: str,
    target: str,
) -> None:
    """Both styles, with AWS and with services of one's own, and what is signed is what is sent."""
    config = S3Config(
        "bucket", "eu-west-1", endpoint, force_path_style=path_style, access_key="key", secret_key="secret"
    )
    recorder = Recorder()
    client = S3Client(config, recorder)
    await client.call(Request("GetObject", "GET", "k!/x"))
    assert recorder.last.headers["host"] == host
    assert recorder.last.target == target
    url = client.presign_get("k!/x", signing.Keys("key", "secret"), 60, ())
    assert url.startswith(f"{origin}{target}?X-Amz-Algorithm=")


@pytest.mark.parametrize(
    ("endpoint", "path_style", "address"),
    [
        (None, True, "http://store:9000/b/k%21/x"),
        ("https://images.example", True, "https://images.example/b/k%21/x"),
        ("https://images.example/", False, "https://b.images.example/k%21/x"),
        ("https://Images.Example:443/s3", True, "https://images.example/s3/b/k%21/x"),
        ("http://images.example:80", False, "http://b.images.example/k%21/x"),
        ("https://images.example:80", True, "https://images.example:80/b/k%21/x"),
        ("http://[::1]:9000", True, "http://[::1]:9000/b/k%21/x"),
    ],
)
def test_presigned_urls_have_the_public_name(
    endpoint: str | None,
    path_style: bool,  # noqa: FBT001
    address: str,
) -> None:
    """They are signed for the host that their readers send, in the same style as our own requests."""
    config = S3Config("b", endpoint="http://store:9000", redirect_endpoint=endpoint, force_path_style=path_style)
    keys = signing.Keys("key", "secret")
    before = datetime.now(UTC).replace(microsecond=0)
    url = httpx.URL(S3Client(config, Recorder()).presign_get("k!/x", keys, 60, ()))
    assert str(url).partition("?")[0] == address
    host, _, path = address.partition("://")[2].partition("/")
    signed_at = datetime.strptime(url.params["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= signed_at <= datetime.now(UTC)
    assert str(url).endswith(signing.presign(keys, "us-east-1", signed_at, host, f"/{path}", (), 60))


@pytest.mark.parametrize(
    ("left_s", "least_s", "most_s"), [(None, 600, 600), (3600, 600, 600), (90, 60, 90), (-5, 1, 1)]
)
def test_no_url_is_promised_for_longer_than_its_keys(left_s: int | None, least_s: int, most_s: int) -> None:
    """An URL signed with keys that end expires with them; with keys that have ended, at once."""
    expires = None if left_s is None else datetime.now(UTC) + timedelta(seconds=left_s)
    keys = signing.Keys("key", "secret", "token", expires)
    url = httpx.URL(S3Client(S3Config("b", endpoint="http://store"), Recorder()).presign_get("k", keys, 600, ()))
    assert least_s <= int(url.params["X-Amz-Expires"]) <= most_s


@pytest.mark.parametrize(
    ("region", "changes", "url"),
    [
        ("eu-central-1", {}, "https://b-ucket.s3.eu-central-1.amazonaws.com"),
        ("us-east-1", {}, "https://b-ucket.s3.us-east-1.amazonaws.com"),
        ("us-east-1", {"force_path_style": True}, "https://s3.us-east-1.amazonaws.com/b-ucket"),
        ("cn-north-1", {}, "https://b-ucket.s3.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", {}, "https://b-ucket.s3.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", {}, "https://b-ucket.s3.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", {}, "https://b-ucket.s3.eusc-de-east-1.amazonaws.eu"),
        ("us-gov-west-1", {"use_fips_endpoint": True}, "https://b-ucket.s3-fips.us-gov-west-1.amazonaws.com"),
        ("eu-west-1", {"use_dual_stack": True}, "https://b-ucket.s3.dualstack.eu-west-1.amazonaws.com"),
        (
            "us-east-1",
            {"use_fips_endpoint": True, "use_dual_stack": True},
            "https://b-ucket.s3-fips.dualstack.us-east-1.amazonaws.com",
        ),
        ("eu-west-1", {"bucket": "my.bucket"}, "https://s3.eu-west-1.amazonaws.com/my.bucket"),
        ("us-east-1", {"bucket": "My_Bucket"}, "https://s3.us-east-1.amazonaws.com/My_Bucket"),
        ("mars-north-9", {}, "https://b-ucket.s3.mars-north-9.amazonaws.com"),
        (
            "us-west-2",
            {"bucket": "arn:aws:s3:us-west-2:123456789012:accesspoint/mine"},
            "https://mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
        ),
    ],
)
def test_aws_has_addresses_of_its_own(region: str, changes: dict[str, Any], url: str) -> None:
    """Every partition, FIPS and dual stack, and names that fit no host name; presigned URLs have the same."""
    config = replace(S3Config("b-ucket", region), **changes)
    assert config.bucket_url == url
    assert config.public_bucket_url == url


def test_variables_of_aws_name_its_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which FIPS is the rule needs no setting; other services are named in the configuration alone."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere")
    assert S3Config("b-ucket").bucket_url == "https://b-ucket.s3-fips.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (S3Config("b-ucket", "cn-north-1", use_fips_endpoint=True), "FIPS"),
        (S3Config("b-ucket", "us east"), "us east"),
        (S3Config("a/b"), "a/b"),
        (S3Config("fast--usw2-az1--x-s3"), "directory bucket"),
    ],
)
async def test_what_aws_has_no_address_for_is_refused(config: S3Config, problem: str) -> None:
    """The operator reads why when the store is opened."""
    with pytest.raises(StoreRefused, match=problem):
        async with open_s3_store(replace(config, access_key="key", secret_key="secret")):
            pass


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        ("https://store", "my-bucket", "https://my-bucket.store"),
        ("https://store", "my.bucket", "https://store/my.bucket"),
        ("http://store:9000/", "my.bucket", "http://my.bucket.store:9000"),
        ("https://store", "My_Bucket", "https://store/My_Bucket"),
        ("http://store", "-bucket", "http://store/-bucket"),
    ],
)
def test_a_name_that_fits_no_host_name_stands_in_the_path(endpoint: str, bucket: str, url: str) -> None:
    """With services other than AWS, too; a certificate holds for one label."""
    assert S3Config(bucket, endpoint=endpoint).bucket_url == url


async def test_the_bucket_itself_has_an_address() -> None:
    """A listing goes to the root of a bucket that stands in the host, and to the name of one in the path."""
    recorder = Recorder()
    targets = []
    for path_style in (True, False):
        config = S3Config(
            "b", endpoint="http://store", force_path_style=path_style, access_key="key", secret_key="secret"
        )
        await S3Client(config, recorder).call(Request("ListObjectsV2", "GET", None, (("list-type", "2"),)))
        targets.append(recorder.last.target.encode())
    assert targets == [b"/b?list-type=2", b"/?list-type=2"]


def test_secrets_are_not_printed() -> None:
    """What shows a configuration in a log or in an error does not show its keys."""
    config = S3Config("b", access_key="key", secret_key="very-secret", session_token="also-secret")
    assert "secret" not in repr(config).replace("secret_key", "")
