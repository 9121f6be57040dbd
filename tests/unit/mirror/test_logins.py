"""A mirror logs in at its upstream with what its settings name."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.mirror.support import LOCAL, NAME, TAG_HERE, TAG_THERE, give, image, world
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import running
from zotpy.mirror.opening import open_upstreams
from zotpy.settings import MirroredRegistry, MirrorSettings
from zotpy.settings.temporary_logins import OAuth2Settings
from zotpy.upstream.temporary.google import GoogleService
from zotpy.upstream.temporary.opening import LoginServices

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.s3.scripted import Answered, Seen

V1 = image("one")
ECR = "https://012345678910.dkr.ecr.{}.amazonaws.com"


async def test_a_login_that_lasts_minutes(tmp_path: Path) -> None:
    """One exchange serves all requests; while its service is down, the upstream counts as down."""
    assertion = tmp_path / "assertion"
    assertion.write_text("a.b.c")
    async with running() as service:
        settings = OAuth2Settings(f"{service.url}/token", assertion_file=assertion)
        async with world(login_service=settings) as (upstream, replica):
            give(upstream, V1)
            good = upstream.scripts[TAG_THERE][0]
            basic = "Basic " + b64encode(b"<token>:t0k3n").decode()

            def answer(seen: Seen) -> Answered:
                if seen.headers.get("authorization") == basic:
                    assert isinstance(good, Reply)
                    return good
                return Reply(401, headers={"WWW-Authenticate": 'Basic realm="there"'})

            upstream.scripts[TAG_THERE] = [answer]
            service.scripts["/token"] = [Reply(503)]
            assert (await replica.client.get(TAG_HERE)).status_code == 429
            service.scripts["/token"] = [Reply(200, b'{"access_token": "t0k3n", "expires_in": 600}')]
            (place,) = next(iter(replica.mirror.upstreams.by_registry.values()))
            place.rests.until = -1.0
            remembered: Any = place.manifests._host._logins._credentials
            remembered._pause_until = -1.0
            for _ in range(3):
                assert (await replica.client.get(TAG_HERE)).content == V1
            assert service.asked == ["/token", "/token"]
            assert {seen.target for seen in upstream.seen} == {f"/v2/{NAME}/manifests/v1"}


def test_a_service_is_asked_once_for_all_upstreams() -> None:
    """Two addresses of one account and region have the same login; other ones have another."""
    services = LoginServices()
    one, other = ECR.format("eu-central-1"), ECR.format("us-east-1")
    assert services.credentials("ecr", one) is services.credentials("ecr", one)
    assert services.credentials("ecr", one) is not services.credentials("ecr", other)
    assert services.credentials("gcp", "https://a") is services.credentials("gcp", "https://b")
    with pytest.raises(ValueError, match="is not an address of ECR"):
        services.credentials("ecr", "https://public.ecr.aws")


async def test_the_log_says_why_an_upstream_refuses_once_a_minute() -> None:
    """Clients only learn that the image is not here, so the operator must read it. Absence makes no line."""
    async with world() as (upstream, replica):
        refusal = Reply(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "the password is wrong"}]}')
        refused = [f"/v2/{NAME}{number}/manifests/v1" for number in range(3)]
        upstream.scripts |= {path: [refusal] for path in refused}
        (place,) = next(iter(replica.mirror.upstreams.by_registry.values()))
        with capture_logs() as logs:
            for path in (TAG_THERE, *refused[:2]):
                assert (await replica.client.get(path.replace(NAME, LOCAL))).status_code == 404
            (line,) = [each for each in logs if each["event"] == "upstream_refused"]
            place._silent_until = -1.0
            assert (await replica.client.get(refused[2].replace(NAME, LOCAL))).status_code == 404
        assert len([each for each in logs if each["event"] == "upstream_refused"]) == 2
        assert (line["upstream"], line["has_login"]) == (upstream.url, False)
        assert "status 401: UNAUTHORIZED the password is wrong" in line["reason"]


@pytest.mark.parametrize("url", ["https://docker.io/library", "https://index.docker.io/library/"])
def test_docker_hub_is_asked_where_it_answers(url: str) -> None:
    """An example of zot's names `https://docker.io/library`, where no registry answers."""
    registry = MirroredRegistry((url.rstrip("/"),), on_demand=True)

    async def opened() -> str:
        async with open_upstreams(MirrorSettings(registries=(registry,)), 1024) as upstreams:
            return upstreams.by_registry[registry][0].manifests._host.settings.url

    assert trio.run(opened) == "https://registry-1.docker.io/library"


def test_tokens_of_google_come_from_google() -> None:
    """Nothing but a test names another metadata server."""
    assert GoogleService()._metadata == "http://metadata.google.internal"
