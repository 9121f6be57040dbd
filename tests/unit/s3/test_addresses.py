"""Where requests go for each way to name a bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from zotpy.s3.client import Request, S3Client
from zotpy.s3.config import S3Config
from zotpy.s3.wire import signing


class Recorder(httpx.AsyncBaseTransport):
    """A transport that answers at once and keeps the request."""

    last: httpx.Request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer 200."""
        self.last = request
        return httpx.Response(200)


@pytest.mark.parametrize(
    ("endpoint", "path_style", "origin", "host", "target"),
    [
        (None, False, "https://b.s3.eu-west-1.amazonaws.com", "b.s3.eu-west-1.amazonaws.com", "/k%21/x"),
        (None, True, "https://s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "/b/k%21/x"),
        ("http://store:9000", True, "http://store:9000", "store:9000", "/b/k%21/x"),
        ("http://store:9000/", False, "http://b.store:9000", "b.store:9000", "/k%21/x"),
        ("https://proxy/s3/", True, "https://proxy", "proxy", "/s3/b/k%21/x"),
        ("https://proxy/s3", False, "https://b.proxy", "b.proxy", "/s3/k%21/x"),
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
    config = S3Config("b", "eu-west-1", endpoint, path_style=path_style, access_key="key", secret_key="secret")
    recorder = Recorder()
    client = S3Client(config, recorder)
    await client.call(Request("GetObject", "GET", "k!/x"))
    assert str(recorder.last.url).rstrip("/") == origin
    assert recorder.last.headers["host"] == host
    assert recorder.last.extensions["target"] == target.encode()
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
    config = S3Config("b", endpoint="http://store:9000", public_endpoint=endpoint, path_style=path_style)
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


async def test_the_bucket_itself_has_an_address() -> None:
    """A listing goes to the root of a bucket that stands in the host, and to the name of one in the path."""
    recorder = Recorder()
    targets = []
    for path_style in (True, False):
        config = S3Config("b", endpoint="http://store", path_style=path_style, access_key="key", secret_key="secret")
        await S3Client(config, recorder).call(Request("ListObjectsV2", "GET", None, (("list-type", "2"),)))
        targets.append(recorder.last.extensions["target"])
    assert targets == [b"/b?list-type=2", b"/?list-type=2"]


def test_secrets_are_not_printed() -> None:
    """What shows a configuration in a log or in an error does not show its keys."""
    config = S3Config("b", access_key="key", secret_key="very-secret", session_token="also-secret")
    assert "secret" not in repr(config).replace("secret_key", "")
