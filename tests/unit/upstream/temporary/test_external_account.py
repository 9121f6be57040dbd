"""Google's external accounts: where what they show Google comes from, and what they never ask."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.unit.s3.scripted import Reply
from tests.unit.upstream.temporary.test_ecr import Chain
from tests.unit.upstream.temporary.test_google import TOKEN, external, written
from tests.unit.upstream.upstreams import IMAGE, IMAGE_TYPE, MANIFEST, REPO, Upstream, running
from zotpy.s3.wire.signing import Keys
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.temporary import service_requests
from zotpy.upstream.temporary.google import MARGIN_S, GoogleService
from zotpy.upstream.temporary.remembered import Remembered

if TYPE_CHECKING:
    from pathlib import Path

KEYS = Keys("AKID", "secret", "session")
NOW = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)
AWS = {
    "environment_id": "aws1",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
}


def service(tmp_path: Path, document: Any, environ: dict[str, str] | None = None) -> GoogleService:
    """Return the service that such a file stands for, with keys of AWS."""
    return GoogleService({**written(tmp_path / "account.json", document), **(environ or {})}, aws=Chain(KEYS))


def form_of(upstream: Upstream) -> dict[str, str]:
    """Return what the token endpoint was sent last."""
    return dict(parse_qsl(upstream.seen[-1].body.decode()))


async def test_a_token_at_a_url(tmp_path: Path) -> None:
    """As in a job of GitHub Actions: the file names headers with a secret, and the token is a field of JSON.

    An image is then pulled with it.
    """
    source = {
        "url": "",
        "headers": {"Authorization": "Bearer of-the-job"},
        "format": {"type": "json", "subject_token_field_name": "value"},
    }
    async with running() as google:
        source["url"] = f"{google.url}/id?api-version=2.0&audience=a%2Fb"
        google.scripts["/id"] = [Reply(200, b'{"count": 7, "value": "a.b.c"}')]
        google.scripts["/sts"] = [Reply(200, TOKEN)]
        logins = Remembered(service(tmp_path, external(google.url, "", credential_source=source)), MARGIN_S)
        async with running() as upstream, upstream.client(credentials=logins) as client:
            asked = Reply(401, headers={"WWW-Authenticate": "Basic"})
            upstream.scripts[MANIFEST] = [asked, Reply(200, IMAGE, {"Content-Type": IMAGE_TYPE})]
            assert (await client.get_manifest(REPO, "latest")).content == IMAGE
            sent = b64encode(b"oauth2accesstoken:ya29.token").decode()
            assert upstream.seen[-1].headers["authorization"] == f"Basic {sent}"
    first, second = google.seen
    assert (first.method, first.target) == ("GET", "/id?api-version=2.0&audience=a%2Fb")
    assert first.headers["authorization"] == "Bearer of-the-job"
    assert "authorization" not in second.headers
    assert form_of(google)["subject_token"] == "a.b.c"


async def test_a_text_at_a_url(tmp_path: Path) -> None:
    """Without a format the whole answer is the token."""
    async with running() as google:
        google.scripts["/id"] = [Reply(200, b"a.b.c\n")]
        google.scripts["/sts"] = [Reply(200, TOKEN)]
        await service(tmp_path, external(google.url, "", credential_source={"url": f"{google.url}/id"}))()
    assert form_of(google)["subject_token"] == "a.b.c"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(403, b"the job has ended"), "answers with status 403: the job has ended"),
        (Reply(302, headers={"Location": "http://evil.example/"}), "answers with status 302"),
        (Reply(200, b" \n"), "answers without a text"),
        (Reply(200, b"\xff"), "answers without a text"),
        (Reply(200, b"t" * 70_000), "more than 65536 bytes"),
        (Reply(200, b"secret"), r"/id is not JSON$"),
        (Reply(200, b'{"other": "secret"}'), r"/id has no value$"),
        (Reply(200, b'{"value": ["secret"]}'), r"/id has no value$"),
    ],
)
async def test_another_answer_than_a_token(tmp_path: Path, reply: Reply, problem: str) -> None:
    """Google is not asked, and the sentence has no secret."""
    kind = {"type": "json", "subject_token_field_name": "value"}
    async with running() as google:
        google.scripts["/id"] = [reply]
        document = external(google.url, "", credential_source={"url": f"{google.url}/id", "format": kind})
        with pytest.raises(UpstreamUnavailable, match=problem) as caught:
            await service(tmp_path, document)()
    assert "secret" not in str(caught.value)
    assert [seen.target for seen in google.seen] == ["/id"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (None, "no credential_source"),
        ({}, "credential_source.url"),
        ({"file": "/a", "url": "https://b.example"}, "credential_source.url"),
        ({"executable": {"command": "/bin/token"}}, "zotpy runs no program"),
        ({"certificate": {"use_default_certificate_config": True}}, "credential_source.url"),
        ({"url": "http://token.example/"}, "a token is read at https"),
        ({"url": "file:///etc/shadow"}, "a token is read at https"),
        ({"url": "https://"}, "a token is read at https"),
        ({"url": "https://[::1"}, "a token is read at https"),
        ({"url": "http://127.0.0.1:65537/"}, "a token is read at https"),
        ({"url": "http://127.0.0.1@token.example/"}, "a token is read at https"),
        ({"url": "https://a.example", "headers": []}, None),
        ({"url": "https://a.example", "headers": ["secret"]}, "headers that cannot be sent"),
        ({"url": "https://a.example", "headers": {"A": "secret\r\nB: c"}}, "headers that cannot be sent"),
        ({"url": "https://a.example", "headers": {"A b": "secret"}}, "headers that cannot be sent"),
        ({"url": "https://a.example", "headers": {"A": 5}}, "headers that cannot be sent"),
        ({**AWS, "environment_id": "aws2"}, "aws1 alone"),
        ({"environment_id": "aws1"}, "has no regional_cred_verification_url"),
        ({**AWS, "regional_cred_verification_url": "https://iam.amazonaws.com?Action=CreateUser"}, "instead of"),
        ({**AWS, "regional_cred_verification_url": "http://sts.amazonaws.com"}, "instead of"),
        ({**AWS, "regional_cred_verification_url": "https://sts.amazonaws.com.evil.example"}, "instead of"),
    ],
)
async def test_a_source_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, problem: str | None
) -> None:
    """Nobody is asked, and the sentence repeats no value of a header."""
    asked = []

    async def ask(method: str, url: str, *_: object, **__: object) -> service_requests.ServiceAnswer:
        asked.append((method, url))
        return await unanswered()

    async def unanswered() -> service_requests.ServiceAnswer:
        msg = "nobody is here"
        raise UpstreamUnavailable(msg)

    monkeypatch.setattr(service_requests, "ask", ask)
    document = external("https://sts.googleapis.com", "", credential_source=source)
    with pytest.raises(UpstreamUnavailable, match=problem or "nobody is here") as caught:
        await service(tmp_path, document, {"AWS_REGION": "eu-central-1"})()
    assert bool(asked) == (problem is None)
    assert "secret" not in str(caught.value)


async def test_google_is_looked_at_before_anybody_is_asked(tmp_path: Path) -> None:
    """No token is made for a file that would send it elsewhere."""
    async with running() as upstream:
        source = {"url": f"{upstream.url}/id"}
        for changed in (
            {"token_url": "https://evil.example"},
            {"service_account_impersonation_url": "https://e.example"},
        ):
            document = external(upstream.url, "", credential_source=source, **changed)
            with pytest.raises(UpstreamUnavailable, match="secrets go only to"):
                await service(tmp_path, document)()
    assert upstream.seen == []


@pytest.mark.parametrize("kind", ["service_account", "authorized_user", "external_account"])
async def test_another_universe(tmp_path: Path, kind: str) -> None:
    """Its tokens come from other hosts, which zotpy does not know."""
    with pytest.raises(UpstreamUnavailable, match=r"the universe 'apis\.example': zotpy knows googleapis\.com alone"):
        await service(tmp_path, {"type": kind, "universe_domain": "apis.example"})()


@pytest.mark.parametrize("has_environment", [True, False])
async def test_keys_of_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_environment: bool) -> None:  # noqa: FBT001
    """Google gets a signed request, as botocore signs it. The region is the environment's, or that of the zone."""
    monkeypatch.setattr(service_requests, "now", lambda: NOW)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    async with running() as google:
        google.scripts["/session"] = [Reply(200, b"of-imds")]
        google.scripts["/zone"] = [Reply(200, b"eu-central-1b")]
        google.scripts["/sts"] = [Reply(200, TOKEN)]
        at_machine = {"imdsv2_session_token_url": f"{google.url}/session", "region_url": f"{google.url}/zone"}
        document = external(google.url, "", credential_source={**AWS, **at_machine})
        await service(tmp_path, document, {"AWS_DEFAULT_REGION": "eu-central-1"} if has_environment else {})()
    asked = [(seen.method, seen.target) for seen in google.seen[:-1]]
    assert asked == ([] if has_environment else [("PUT", "/session"), ("GET", "/zone")])
    if not has_environment:
        assert google.seen[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "300"
        assert google.seen[1].headers["x-aws-ec2-metadata-token"] == "of-imds"

    got = json.loads(unquote(form_of(google)["subject_token"]))
    url = AWS["regional_cred_verification_url"].replace("{region}", "eu-central-1")
    assert (got["url"], got["method"]) == (url, "POST")
    wanted = AWSRequest("POST", url, {"x-goog-cloud-target-resource": document["audience"]}, b"")
    SigV4Auth(Credentials("AKID", "secret", "session"), "sts", "eu-central-1").add_auth(wanted)
    headers = {each["key"].lower(): each["value"] for each in got["headers"]}
    assert headers.pop("host") == "sts.eu-central-1.amazonaws.com"
    assert headers == {name.lower(): value for name, value in wanted.headers.items()}


async def test_aws_without_keys_or_region(tmp_path: Path) -> None:
    """The sentences say what is missing."""
    document = external("https://sts.googleapis.com", "", credential_source=AWS)
    environ = written(tmp_path / "account.json", document)
    with pytest.raises(UpstreamUnavailable, match="no AWS credentials"):
        await GoogleService({**environ, "AWS_REGION": "eu-central-1"}, aws=Chain())()
    with pytest.raises(UpstreamUnavailable, match="no region of AWS: set AWS_REGION"):
        await GoogleService({**environ, "AWS_REGION": "Frankfurt"}, aws=Chain(KEYS))()
    with pytest.raises(UpstreamUnavailable, match="has no region_url"):
        await GoogleService(environ, aws=Chain(KEYS))()
