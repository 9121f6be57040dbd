"""Google's application default credentials: which are taken, what is sent for each, and what an answer means."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import trio

from tests.unit.s3.scripted import Reply
from tests.unit.upstream.temporary.keys import pem, verified
from tests.unit.upstream.upstreams import running
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.login import Login
from zotpy.upstream.temporary import service_requests
from zotpy.upstream.temporary.google import SCOPE, WHOLE_SCOPE, GoogleService

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = b'{"access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer"}'
MACHINE = "/computeMetadata/v1/instance/service-accounts/default/token"
FLAVOR = {"Metadata-Flavor": "Google"}


def written(file: Path, document: Any) -> dict[str, str]:
    """Write a file of credentials, and return the variable that names it."""
    file.write_text(json.dumps(document))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


async def test_the_token_of_the_machine(tmp_path: Path) -> None:
    """The metadata server is asked for the narrowest scope, with its header, and past any proxy."""
    async with running() as upstream:
        upstream.scripts[MACHINE] = [Reply(200, TOKEN, FLAVOR)]
        got = await GoogleService({"HOME": str(tmp_path)}, upstream.url)()
    assert (got.login, got.life_s) == (Login("oauth2accesstoken", "ya29.token"), 3599)
    (seen,) = upstream.seen
    assert seen.headers["metadata-flavor"] == "Google"
    assert seen.target == f"{MACHINE}?scopes={SCOPE}"


async def test_the_metadata_server_is_asked_past_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy has a machine of its own."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with running() as upstream:
        upstream.scripts[MACHINE] = [Reply(200, TOKEN, FLAVOR)]
        assert (await GoogleService({"HOME": str(tmp_path)}, upstream.url)()).login.password == "ya29.token"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, TOKEN),
        Reply(404, headers=FLAVOR),
        Reply(200, b"{}", FLAVOR),
        Reply(200, b'{"access_token": 5}', FLAVOR),
    ],
)
async def test_another_server_in_its_place(tmp_path: Path, reply: Reply) -> None:
    """Its answer is no token."""
    async with running() as upstream:
        upstream.scripts[MACHINE] = [reply]
        with pytest.raises(UpstreamUnavailable):
            await GoogleService({"HOME": str(tmp_path)}, upstream.url)()


async def test_no_credentials_at_all(tmp_path: Path) -> None:
    """The sentence says where they were looked for."""
    with pytest.raises(UpstreamUnavailable, match="GOOGLE_APPLICATION_CREDENTIALS names no file"):
        await GoogleService({"HOME": str(tmp_path)}, "http://127.0.0.1:1")()


async def test_a_key_of_a_service_account(tmp_path: Path) -> None:
    """It signs for its token endpoint and for an hour, and is sent nowhere."""
    async with running() as upstream:
        key = {
            "type": "service_account",
            "client_email": "puller@project.iam.gserviceaccount.com",
            "private_key_id": "k1",
            "private_key": pem("RS256"),
            "token_uri": f"{upstream.url}/token",
        }
        upstream.scripts["/token"] = [Reply(200, TOKEN)]
        got = await GoogleService(written(tmp_path / "key.json", key), "http://127.0.0.1:1")()
    assert got.login == Login("oauth2accesstoken", "ya29.token")
    form = dict(parse_qsl(upstream.seen[0].body.decode()))
    header, claims = verified(form.pop("assertion"), "RS256")
    assert form == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert header["kid"] == "k1"
    assert (claims["iss"], claims["scope"], claims["aud"]) == (key["client_email"], SCOPE, key["token_uri"])
    assert claims["exp"] - claims["iat"] == 3600


async def test_a_user_of_gcloud(tmp_path: Path) -> None:
    """The file is found where gcloud writes it."""
    async with running() as upstream:
        user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
        file = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
        file.parent.mkdir(parents=True)
        written(file, {**user, "token_uri": f"{upstream.url}/token"})
        upstream.scripts["/token"] = [Reply(200, TOKEN)]
        for environ in ({"HOME": str(tmp_path)}, {"HOME": "/", "CLOUDSDK_CONFIG": str(file.parent)}):
            await GoogleService(environ, "http://127.0.0.1:1")()
            form = dict(parse_qsl(upstream.seen[-1].body.decode()))
            expected = {"client_id": "i", "client_secret": "s", "refresh_token": "r"}
            assert form == {"grant_type": "refresh_token", **expected}


def external(url: str, token_file: object, **changed: Any) -> dict[str, Any]:
    """Return the file of an external account."""
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/v",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/sts",
        "credential_source": {"file": str(token_file)},
        **changed,
    }


async def test_an_external_account(tmp_path: Path) -> None:
    """The token of the platform is exchanged, and then stands for the service account if one is named."""
    token = tmp_path / "token"
    token.write_text("platform\n")
    ends = (service_requests.now() + timedelta(seconds=1800)).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with running() as upstream:
        upstream.scripts["/sts"] = [Reply(200, TOKEN)]
        upstream.scripts["/as"] = [Reply(200, json.dumps({"accessToken": "mine", "expireTime": ends}).encode())]
        plain = written(tmp_path / "plain.json", external(upstream.url, token))
        assert (await GoogleService(plain)()).login.password == "ya29.token"
        form = dict(parse_qsl(upstream.seen[0].body.decode()))
        assert (form["subject_token"], form["scope"], form["audience"][:5]) == ("platform", SCOPE, "//iam")
        source = {"file": str(token), "format": {"type": "json", "subject_token_field_name": "id"}}
        token.write_text('{"id": "in json"}')
        account = external(
            upstream.url, token, credential_source=source, service_account_impersonation_url=f"{upstream.url}/as"
        )
        got = await GoogleService(written(tmp_path / "as.json", account))()
    assert (got.login.password, 1700 < got.life_s <= 1800) == ("mine", True)
    form = dict(parse_qsl(upstream.seen[1].body.decode()))
    assert (form["subject_token"], form["scope"]) == ("in json", WHOLE_SCOPE)
    assert upstream.seen[2].headers["authorization"] == "Bearer ya29.token"
    assert json.loads(upstream.seen[2].body) == {"scope": [SCOPE], "lifetime": "3600s"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "not a JSON object"),
        ({"type": "gdch_service_account"}, "knows the types"),
        ({"type": "service_account"}, "has no client_email"),
        ({"type": "service_account", "token_uri": "http://evil.example/"}, "secrets go only to https"),
        ({"type": "service_account", "client_email": "e", "private_key": "x"}, "private key cannot sign"),
        ({"type": "authorized_user", "client_id": "i"}, "has no client_secret"),
        ({"type": "external_account", "audience": "a", "subject_token_type": "t"}, "no credential_source"),
        (
            {**external("http://evil.example", __import__("pathlib").Path(__file__))},
            "secrets go only to https",
        ),
    ],
)
async def test_a_file_that_cannot_be_used(tmp_path: Path, document: Any, problem: str) -> None:
    """Nobody is asked."""
    with pytest.raises(UpstreamUnavailable, match=problem):
        await GoogleService(written(tmp_path / "file.json", document))()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/token",
        "https://sts.googleapis.com.evil.example/",
        "https://evilgoogleapis.com/",
        "https://sts.googleapis.com@evil.example/",
        "http://sts.googleapis.com/",
        "https://[",
    ],
)
async def test_secrets_of_a_file_go_to_google_alone(tmp_path: Path, url: str) -> None:
    """Google warns of files that come from others, which could name any host."""
    account = external("https://sts.googleapis.com/v1/token", tmp_path / "token")
    (tmp_path / "token").write_text("a.b.c")
    with pytest.raises(UpstreamUnavailable, match=r"secrets go only to https://\*\.googleapis\.com"):
        await GoogleService(written(tmp_path / "file.json", {**account, "token_url": url}))()


@pytest.mark.parametrize(
    "url",
    [
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v4/token",
        "https://accounts.google.com/o/oauth2/token",
        "https://sts.europe-west3.rep.googleapis.com/v1/token",
    ],
)
async def test_addresses_that_google_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """They are asked, of whatever region."""
    asked = []

    async def exchanged(where: str, form: object, usual_s: float) -> tuple[str, float]:
        await trio.lowlevel.checkpoint()
        del form
        asked.append(where)
        return "token", usual_s

    monkeypatch.setattr("zotpy.upstream.temporary.google.exchanged", exchanged)
    user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r", "token_uri": url}
    assert (await GoogleService(written(tmp_path / "file.json", user))()).login.password == "token"
    assert asked == [url]


async def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """The machine's own token is not taken instead of the one that was named."""
    with pytest.raises(UpstreamUnavailable, match="cannot be read"):
        await GoogleService({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent")})()
