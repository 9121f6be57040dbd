"""Assertions that are exchanged for access tokens, as zot does it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from tests.unit.s3.scripted import Reply
from tests.unit.upstream.temporary.keys import pem, verified
from tests.unit.upstream.upstreams import Upstream, running
from zotpy.settings.temporary_logins import CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE, OAuth2Settings
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.login import Login
from zotpy.upstream.temporary.token_exchange import TokenService

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = Reply(200, b'{"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 600}')


def settings(upstream: Upstream, **changed: Any) -> OAuth2Settings:
    """Return settings with which the server is asked."""
    return OAuth2Settings(f"{upstream.url}/token", **changed)


async def form_of(upstream: Upstream, **changed: Any) -> dict[str, str]:
    """Exchange an assertion, and return what was sent."""
    upstream.scripts["/token"] = [TOKEN]
    await TokenService(settings(upstream, **changed))()
    assert upstream.seen[-1].headers["content-type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(upstream.seen[-1].body.decode(), strict_parsing=True))


async def test_the_forms_of_the_grants(tmp_path: Path) -> None:
    """Names and values are those of the RFCs."""
    assertion, secret = tmp_path / "assertion", tmp_path / "secret"
    assertion.write_text("a.b.c\n")
    secret.write_text("s3cret\n")
    async with running() as upstream:
        assert await form_of(upstream, assertion_file=assertion) == {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": "a.b.c",
        }
        more: dict[str, Any] = {"client_id": "me", "client_secret_file": secret, "scopes": ("pull", "list")}
        assert await form_of(upstream, assertion_file=assertion, grant_type=JWT_BEARER, **more) == {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": "a.b.c",
            "client_id": "me",
            "client_secret": "s3cret",
            "scope": "pull list",
        }
        exchange: dict[str, Any] = {"grant_type": TOKEN_EXCHANGE, "audience": "//iam/pool"}
        assert await form_of(upstream, assertion_file=assertion, **exchange) == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "a.b.c",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": "//iam/pool",
        }


async def test_the_file_is_read_for_each_exchange(tmp_path: Path) -> None:
    """Its platform writes it anew."""
    assertion = tmp_path / "assertion"
    async with running() as upstream:
        for text in ("first", "second"):
            assertion.write_text(text)
            assert (await form_of(upstream, assertion_file=assertion))["client_assertion"] == text


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "EdDSA"])
async def test_an_assertion_that_we_sign(tmp_path: Path, algorithm: str) -> None:
    """Each has an id of its own; what the file does not say is the client and the endpoint."""
    key, signing = tmp_path / "key.pem", tmp_path / "signing.json"
    key.write_text(pem(algorithm))
    signing.write_text(json.dumps({"privateKeyFile": str(key), "algorithm": algorithm, "keyId": "k1", "issuer": "us"}))
    async with running() as upstream:
        forms = [await form_of(upstream, signing_file=signing, client_id="me") for _ in range(2)]
    (header, first), (_, second) = [verified(form["client_assertion"], algorithm) for form in forms]
    assert header == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert (first["iss"], first["sub"], first["aud"]) == ("us", "me", f"{upstream.url}/token")
    assert (first["exp"] - first["iat"], abs(first["iat"] - time.time()) < 60) == (300, True)
    assert first["jti"] != second["jti"]


async def test_the_token_is_the_password(tmp_path: Path) -> None:
    """Its name is zot's, and it lasts as long as the service says, or five minutes."""
    assertion = tmp_path / "assertion"
    assertion.write_text("a.b.c")
    async with running() as upstream:
        service = TokenService(settings(upstream, assertion_file=assertion, grant_type=CLIENT_CREDENTIALS))
        upstream.scripts["/token"] = [TOKEN, Reply(200, b'{"access_token": "other", "expires_in": "long"}')]
        got = await service()
        assert (got.login, got.life_s) == (Login("<token>", "t0k3n"), 600)
        assert (await service()).life_s == 300


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(401, b'{"error": "invalid_client", "error_description": "who?"}'), "status 401.*who"),
        (Reply(307, headers={"Location": "/token"}), "status 307"),
        (Reply(200, b"{}"), "without access_token"),
        (Reply(200, b'{"access_token": "two\\nlines"}'), "without access_token"),
        (Reply(200, b"[]"), "not a JSON object"),
    ],
)
async def test_an_endpoint_that_gives_no_token(tmp_path: Path, reply: Reply, problem: str) -> None:
    """It is a failure of the moment, with the endpoint's own words."""
    assertion = tmp_path / "assertion"
    assertion.write_text("a.b.c")
    async with running() as upstream:
        upstream.scripts["/token"] = [reply]
        with pytest.raises(UpstreamUnavailable, match=problem):
            await TokenService(settings(upstream, assertion_file=assertion))()
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    ("signing", "problem"),
    [
        ("[]", "not a JSON object"),
        ('{"algorithm": "ES256"}', "has no privatekeyfile"),
        ('{"privateKeyFile": "/absent", "algorithm": "ES256"}', "/absent cannot be read"),
        ('{"privateKeyFile": "KEY"}', "has no algorithm"),
        ('{"privateKeyFile": "KEY", "algorithm": "HS256"}', "cannot sign with the algorithm 'HS256'"),
        ('{"privateKeyFile": "KEY", "algorithm": "none"}', "cannot sign with the algorithm 'none'"),
        ('{"privateKeyFile": "KEY", "algorithm": "RS256"}', "the private key cannot sign with RS256"),
    ],
)
async def test_a_signing_file_that_cannot_be_used(tmp_path: Path, signing: str, problem: str) -> None:
    """Nobody is asked, and no key is repeated."""
    key, file = tmp_path / "key.pem", tmp_path / "signing.json"
    key.write_text(pem("ES256"))
    file.write_text(signing.replace("KEY", str(key)))
    async with running() as upstream:
        with pytest.raises(UpstreamUnavailable, match=problem) as raised:
            await TokenService(settings(upstream, signing_file=file))()
    assert "PRIVATE" not in str(raised.value)
    assert upstream.seen == []
