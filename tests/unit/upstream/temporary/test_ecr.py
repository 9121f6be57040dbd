"""Logins at ECR: what is asked, how it is signed, and what an answer means."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.unit.s3.scripted import Endless, Reply
from tests.unit.upstream.upstreams import IMAGE, IMAGE_TYPE, MANIFEST, REPO, Upstream, running
from zotpy.core.ecr_hosts import EcrHost
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.login import Login
from zotpy.upstream.temporary.ecr import MARGIN_S, EcrService
from zotpy.upstream.temporary.remembered import Remembered

if TYPE_CHECKING:
    from tests.unit.s3.scripted import Answered, Seen

HOST = EcrHost("012345678910", "eu-central-1", "api.ecr.eu-central-1.amazonaws.com")
NOW = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)


def answer(login: str = "AWS:secret", **changed: Any) -> Reply:
    """Answer as the API does: the login in base64, and when it ends."""
    data = {
        "authorizationToken": b64encode(login.encode()).decode(),
        "expiresAt": NOW.timestamp() + 12 * 3600,
        "proxyEndpoint": "https://012345678910.dkr.ecr.eu-central-1.amazonaws.com",
        **changed,
    }
    return Reply(200, json.dumps({"authorizationData": [data]}).encode())


class Chain:
    """Keys that the service may refuse."""

    def __init__(self, *keys: Keys) -> None:
        self.keys = list(keys)

    async def __call__(self) -> Keys:
        """Return the first ones."""
        await trio.lowlevel.checkpoint()
        if not self.keys:
            msg = "no AWS credentials: nothing found"
            raise S3Unavailable(msg)
        return self.keys[0]

    @property
    def at_hand(self) -> Keys | None:
        """Never know without asking."""
        return None

    async def renew(self, refused: Keys) -> bool:
        """Go on to the next ones."""
        await trio.lowlevel.checkpoint()
        if self.keys[0] == refused and len(self.keys) > 1:
            del self.keys[0]
            return True
        return False


KEYS = Keys("AKID", "secret", "session")


def service(upstream: Upstream, chain: Chain | None = None) -> EcrService:
    """Ask this server instead of AWS."""
    return EcrService(HOST, chain or Chain(KEYS), url=upstream.url, now=lambda: NOW)


async def test_the_request_is_the_one_of_the_api() -> None:
    """It names the action and the account, and its signature is the one that botocore makes."""
    async with running() as upstream:
        upstream.scripts["/"] = [answer()]
        got = await service(upstream)()
    assert (got.login, got.life_s) == (Login("AWS", "secret"), 12 * 3600)
    (seen,) = upstream.seen
    assert (seen.method, seen.target, json.loads(seen.body)) == ("POST", "/", {"registryIds": ["012345678910"]})
    assert seen.headers["x-amz-target"] == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    assert seen.headers["content-type"] == "application/x-amz-json-1.1"
    assert seen.headers["x-amz-security-token"] == "session"
    assert signature(seen, upstream.url) in seen.headers["authorization"]


def signature(seen: Seen, url: str) -> str:
    """Let botocore sign the request as it came."""
    auth = SigV4Auth(Credentials("AKID", "secret", "session"), "ecr", "eu-central-1")
    signed = ("content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-target")
    headers = {name: seen.headers[name] for name in signed}
    request = AWSRequest("POST", f"{url}/", headers=headers, data=seen.body)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


async def test_a_login_is_used_at_the_registry_until_an_hour_before_its_end() -> None:
    """The registry asks for Basic, as ECR does."""
    async with running() as upstream:
        upstream.scripts["/"] = [answer()]
        challenge = Reply(401, headers={"WWW-Authenticate": 'Basic realm="ecr",service="ecr.amazonaws.com"'})
        basic = "Basic " + b64encode(b"AWS:secret").decode()
        good = Reply(200, IMAGE, {"Content-Type": IMAGE_TYPE})
        upstream.scripts[MANIFEST] = [lambda seen: good if seen.headers.get("authorization") == basic else challenge]
        async with upstream.client(Remembered(service(upstream), MARGIN_S)) as client:
            for _ in range(3):
                await client.get_manifest(REPO, "latest")
    assert upstream.asked == ["/", *[MANIFEST] * 4]


async def test_other_keys_are_taken_if_these_are_refused() -> None:
    """Files of keys may have changed; the same keys are not sent again."""
    refused = Reply(400, b'{"__type":"UnrecognizedClientException","message":"The security token is invalid."}')
    async with running() as upstream:
        upstream.scripts["/"] = [refused, answer()]
        assert (await service(upstream, Chain(KEYS, Keys("OTHER", "secret")))()).login.username == "AWS"
        assert "Credential=OTHER/" in upstream.seen[1].headers["authorization"]
        upstream.scripts["/"] = [refused]
        with pytest.raises(UpstreamUnavailable, match=r"status 400.*The security token is invalid"):
            await service(upstream)()
    assert len(upstream.seen) == 3


@pytest.mark.parametrize(
    "act",
    [
        Reply(500),
        Reply(302, headers={"Location": "http://127.0.0.1:1/"}),
        Reply(200, b"no JSON"),
        Reply(200, b'{"authorizationData": []}'),
        Reply(200, b'{"authorizationData": 5}'),
        answer("no colon"),
        answer(authorizationToken=None),
        answer(authorizationToken="\xff"),
        Endless(b"{" * 10_000),
    ],
)
async def test_an_answer_without_a_login(act: Answered) -> None:
    """It is a failure of the moment, so what is here is served; nothing is followed or read without an end."""
    async with running() as upstream:
        upstream.scripts["/"] = [act]
        with pytest.raises(UpstreamUnavailable):
            await service(upstream)()
    assert len(upstream.seen) == 1


async def test_without_keys_nobody_is_asked() -> None:
    """The sentence is that of the chain."""
    async with running() as upstream:
        with pytest.raises(UpstreamUnavailable, match="no AWS credentials"):
            await service(upstream, Chain())()
    assert upstream.seen == []


@pytest.mark.parametrize(("ends", "life_s"), [(None, 12 * 3600), ("soon", 12 * 3600), (NOW.timestamp() + 60, 60)])
async def test_the_end_that_the_service_names(ends: object, life_s: float) -> None:
    """Without one a login lasts 12 hours, as documented."""
    async with running() as upstream:
        upstream.scripts["/"] = [answer(expiresAt=ends)]
        assert (await service(upstream)()).life_s == life_s
