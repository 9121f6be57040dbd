"""ID tokens as logins, `http.auth.openid`: those for our client count, and other tokens of the same issuer do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.web.desks import NOW, TOKEN_PATH, bearer, claims_of, giving
from tests.unit.web.issuers import CiService, ci_service
from tests.unit.web.serving import codes_of, serving
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.config import load_settings
from zotpy.logins import make_door
from zotpy.settings import ClaimTerm
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import trio

CLIENT = "registry.example.com"
"""As the audience of the tokens that `CiService` makes."""
OPENID: dict[str, Any] = {"username": (ClaimTerm("email"),), "groups": "groups", "client": CLIENT}
UPLOADS = "/v2/team/app/blobs/uploads/"
PERSON: dict[str, Any] = {"email": "alice", "email_verified": True, "azp": CLIENT}
"""`alice` is whom the rules of the scene know."""


@pytest.fixture
def sso() -> Iterator[CiService]:
    """Run an issuer."""
    with ci_service() as service:
        yield service


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"azp": None},
        {"aud": [CLIENT], "azp": None},
        {"aud": [CLIENT, "other"]},
        {"email_verified": None},
        {"email_verified": "true"},
        {"typ": "ID"},
        {"client_id": CLIENT},
        {"token_use": "id"},
        {"nonce": "of the client", "at_hash": "x"},
    ],
    ids=str,
)
async def test_a_person_pushes_with_an_id_token(
    nursery: trio.Nursery, sso: CiService, changed: Mapping[str, object]
) -> None:
    """It counts as Bearer, as the password of any user, and at the endpoint of tokens, however the issuer writes it."""
    async with giving(nursery, oidc=sso.logins(**OPENID)) as scene:
        token = sso.token(**{**PERSON, **changed})
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
        assert (await scene.client.post(UPLOADS, auth=("whoever", token))).status_code == 202
        granted = await scene.grant(("whoever", token.encode()), "repository:team/app:pull,push")
        assert claims_of(granted["token"])["sub"] == "alice"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "other"},
        {"aud": ["other", "another"], "azp": "other"},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"aud": [CLIENT, "other"], "azp": None},
        {"aud": [CLIENT, CLIENT], "azp": None},
        {"azp": "other"},
        {"azp": ["registry.example.com"]},
        {"azp": ""},
        {"typ": "Bearer"},
        {"typ": "Logout"},
        # Access tokens for our client whose header does not say `at+jwt`.
        {"scope": "openid"},
        {"scope": ""},
        {"scp": ["read"]},
        {"client_id": "other", "azp": None},
        {"client_id": ["registry.example.com"]},
        {"token_use": "access"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": "application/at+jwt"}},
        {"header": {"typ": "logout+jwt"}},
        {"email": None},
        {"email": ["alice"]},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": 0},
    ],
    ids=str,
)
async def test_other_tokens_of_the_issuer_are_refused(
    nursery: trio.Nursery, sso: CiService, changed: Mapping[str, Any]
) -> None:
    """They are for or by way of another client, of another kind, or with an address that nobody has verified."""
    async with giving(nursery, oidc=sso.logins(**OPENID)) as scene:
        token = sso.token(**{**PERSON, **changed})
        for answer in (
            await scene.client.post(UPLOADS, headers=bearer(token)),
            await scene.client.post(UPLOADS, auth=("alice", token)),
            await scene.client.get(TOKEN_PATH, auth=("alice", token)),
            await scene.post(id_token=token, scope="repository:team/app:pull"),
        ):
            assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])


async def test_an_address_matters_only_as_the_name(nursery: trio.Nursery, sso: CiService) -> None:
    """With another claim as the name nobody needs to have verified it."""
    async with giving(nursery, oidc=sso.logins(**{**OPENID, "username": (ClaimTerm("actor"),)})) as scene:
        token = sso.token(**{**PERSON, "email_verified": False})
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202


async def test_groups_are_a_text_or_a_list(sso: CiService) -> None:
    """Both are read as zot reads them."""
    logins = sso.logins(**OPENID)
    for groups, found in (("devs", {"devs"}), (["devs", "ops"], {"devs", "ops"}), (None, set())):
        identity = await logins.read(sso.token(**PERSON, groups=groups))
        assert identity is not None
        assert identity.groups == found


async def test_a_refresh_token_is_for_the_client_of_now(nursery: trio.Nursery, sso: CiService) -> None:
    """What decided at the login decides again, so a token of a changed client ends."""
    logins = sso.logins(**OPENID)
    async with giving(nursery, oidc=logins) as scene:
        scope = "repository:team/app:pull,push"
        token = sso.token(**{**PERSON, "aud": [CLIENT, "other"]})
        granted = await scene.grant(("alice", token.encode()), scope, offline_token="true")
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], "scope": scope}
        assert (await scene.post(**form)).status_code == 200
        logins.issuers = sso.logins(**{**OPENID, "client": "other"}).issuers
        assert (await scene.post(**form)).status_code == 401


@pytest.mark.parametrize("apikey", [True, False])
async def test_providers_without_id_tokens_let_nobody_in(nursery: trio.Nursery, sso: CiService, apikey: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Without any other login the registry is closed, not open: also with no rules, and for made-up tokens and keys."""
    openid = {"providers": {"github": {"clientid": CLIENT}}}
    settings = load_settings(None, {}, {"http.auth.openid": openid, "http.auth.apikey": apikey})
    door = await make_door(settings, Bell(), Grants(None), MemoryStore(lambda: datetime.fromtimestamp(NOW, UTC)))
    async with serving(nursery, admit=door.admit, challenge=door.challenge, more_routes=door.routes) as replica:
        for path in ("/v2/", "/v2/_catalog", "/v2/team/app/tags/list", f"{TOKEN_PATH}?scope=registry:catalog:*"):
            assert (await replica.client.get(path, headers=bearer(sso.token(**PERSON)))).status_code == 401
            for password in ("", "x", f"zak_{'0' * 32}"):
                assert (await replica.client.get(path, auth=("alice", password))).status_code == 401
        assert (await replica.client.get("/v2/team/app/tags/list")).status_code == 401
