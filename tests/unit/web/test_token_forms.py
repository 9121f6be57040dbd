"""Tokens of other issuers in a form: `POST /zot/auth/token` takes them in the fields in which zot does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.web.desks import ALICE, NOW, bearer, claims_of, giving
from tests.unit.web.issuers import CiService, ci_service
from tests.unit.web.serving import codes_of
from zotpy.settings import ClaimTerm

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio

ACTOR: dict[str, Any] = {"username": (ClaimTerm("actor"),)}
UPLOADS = "/v2/team/app/blobs/uploads/"
SCOPE = "repository:team/app:pull,push"
FIELDS = ("id_token", "access_token", "token", "refresh_token")


@pytest.fixture
def ci() -> Iterator[CiService]:
    """Run an issuer."""
    with ci_service() as service:
        yield service


@pytest.mark.parametrize("field", FIELDS)
async def test_a_form_has_the_token_of_a_job(nursery: trio.Nursery, ci: CiService, field: str) -> None:
    """What it gives is limited by rules. A refresh token is given if it is asked for, and never the job's token."""
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        answer = await scene.post(**{field: ci.token()}, scope=f"{SCOPE} repository:other/x:pull")
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert [each["name"] for each in claims_of(document["token"])["access"]] == ["team/app"]
        assert (await scene.client.post(UPLOADS, headers=bearer(document["token"]))).status_code == 202
        assert "refresh_token" not in document
        offline = await scene.post(**{field: ci.token()}, access_type="offline")
        refresh = offline.json()["refresh_token"]
        again = await scene.post(grant_type="refresh_token", refresh_token=refresh, scope=SCOPE)
        assert claims_of(again.json()["token"])["sub"] == "alice"


async def test_a_client_that_keeps_the_token_of_a_job_as_its_refresh_token(
    nursery: trio.Nursery, ci: CiService
) -> None:
    """As docker does with an `identitytoken`. It keeps what the answer says, and that must go on counting."""
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        answer = await scene.post(grant_type="refresh_token", refresh_token=ci.token(), scope=SCOPE)
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()


@pytest.mark.parametrize("field", FIELDS)
async def test_other_tokens_in_a_form_are_refused(nursery: trio.Nursery, ci: CiService, field: str) -> None:
    """One that has ended, one for another registry, one that is no token, and one that requests are made with."""
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        own = await scene.token(ALICE, SCOPE)
        for token in (ci.token(exp=int(NOW) - 100), ci.token(aud="other"), "nothing", "a.b.c", own):
            answer = await scene.post(**{field: token}, scope=SCOPE)
            assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"]), token
