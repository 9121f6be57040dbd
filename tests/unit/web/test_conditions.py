"""Conditions of policies at the door: by tag and digest, by claims in tokens, and what a refusal says."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.web.desks import ALICE, NOW, bearer, claims_of, giving
from tests.unit.web.issuers import CiService, ci_service
from tests.unit.web.serving import codes_of
from zotpy.auth.signed_tokens import sign
from zotpy.config.access import read_access_control
from zotpy.core.media_types import OCI_IMAGE
from zotpy.settings import ClaimTerm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx
    import trio

UPLOADS = "/v2/team/app/blobs/uploads/"
SCOPE = "repository:team/app:pull,push"
EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2},
        "layers": [],
    }
).encode()


def rules(*conditions: Mapping[str, str], **policy: Any) -> dict[str, Any]:
    """Return rules with one policy on `team/**` for alice."""
    actions = ["read", "create", "update", "delete"]
    whole = {"users": ["alice"], "actions": actions, "conditions": list(conditions), **policy}
    return {"repositories": {"team/**": {"policies": [whole]}}}


def condition(expression: str, message: str = "not like this") -> Mapping[str, str]:
    """Return a condition."""
    return {"expression": expression, "message": message}


@pytest.fixture
def ci() -> Iterator[CiService]:
    """Run an issuer."""
    with ci_service() as service:
        yield service


async def push(client: httpx.AsyncClient, reference: str, **how: Any) -> httpx.Response:
    """Push a manifest, and its config before."""
    blob = await client.post(f"{UPLOADS}?digest={EMPTY}", content=b"{}", **how)
    assert blob.status_code == 201, blob.text
    headers = {**how.pop("headers", {}), "Content-Type": OCI_IMAGE}
    return await client.put(f"/v2/team/app/manifests/{reference}", content=MANIFEST, headers=headers, **how)


async def test_a_tag_is_judged_when_it_is_pushed(nursery: trio.Nursery) -> None:
    """The token is for the repository, and each request that brings it is judged by its own tag."""
    only_dev = condition("req.tag == '' || req.tag.startsWith('dev-')", "only dev- tags")
    async with giving(nursery, rules=rules(only_dev)) as scene:
        token = bearer(await scene.token(ALICE, SCOPE))
        ways: list[dict[str, Any]] = [{"headers": token}, {"auth": ALICE}]
        for how in ways:
            begun = await scene.client.post(UPLOADS, **how)
            assert (await scene.client.patch(begun.headers["Location"], content=b"{", **how)).status_code == 202
            assert (await push(scene.client, "dev-1", **how)).status_code == 201
            answer = await push(scene.client, "v1", **how)
            assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
            assert answer.json()["errors"][0]["detail"]["reason"] == "only dev- tags"
            several = await push(scene.client, f"sha256:{'0' * 64}?tag=dev-2&tag=v2", **how)
            assert several.status_code == 403


async def test_a_condition_that_fails_says_nothing(nursery: trio.Nursery) -> None:
    """Its message is for callers whom it refuses, and its error is for the log."""
    async with giving(nursery, rules=rules(condition("req.claims.ref == 'main'", "main alone"))) as scene:
        answer = await scene.client.post(UPLOADS, auth=ALICE)
        assert answer.status_code == 403
        assert "main alone" not in answer.text
        assert "reason" not in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("header", ["User-Agent", "X-Forwarded-For"])
async def test_headers_are_those_of_the_request(nursery: trio.Nursery, header: str) -> None:
    """They prove nothing, and huge ones make the condition fail."""
    texts = {"User-Agent": "req.userAgent == 'good'", "X-Forwarded-For": "req.client.forwardedFor == ['good', 'x']"}
    good = {"User-Agent": "good", "X-Forwarded-For": "good , x"}[header]
    async with giving(nursery, rules=rules(condition(texts[header]))) as scene:
        for value, status in ((good, 202), ("bad", 403), ("good" * 1000, 403)):
            assert (await scene.client.post(UPLOADS, auth=ALICE, headers={header: value})).status_code == status


async def test_the_address_is_that_of_the_connection(nursery: trio.Nursery) -> None:
    """Without a trusted proxy nobody can claim another one, and without TLS there is no version of it."""
    local = condition("req.client.ip == '127.0.0.1' && req.client.peer == req.client.ip && !req.tls.enabled")
    async with giving(nursery, rules=rules(local, condition("req.tls.version == ''"))) as scene:
        forged = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
        assert (await scene.client.post(UPLOADS, auth=ALICE, headers=forged)).status_code == 202


async def test_tokens_carry_the_claims_that_rules_read(nursery: trio.Nursery, ci: CiService) -> None:
    """They carry no other claims. A token that was given before a rule read a claim does not fulfil the rule."""
    main = condition("req.claims.ref == 'main'", "only main may push")
    logins = ci.logins(username=(ClaimTerm("actor"),))
    async with giving(nursery, rules=rules(main), oidc=logins) as scene:
        for ref, status in (("main", 202), ("other", 403)):
            raw = ci.token(ref=ref, secret="no")
            token = await scene.token(("ci", raw.encode()), SCOPE)
            assert claims_of(token)["claims"] == {"values": {"ref": ref}, "known": ["ref"]}
            for headers in (bearer(raw), bearer(token), bearer(token)):
                assert (await scene.client.post(UPLOADS, headers=headers)).status_code == status
        raw = ci.token(ref="main")
        token = await scene.token(("ci", raw.encode()), SCOPE)
        assert (await scene.client.post(UPLOADS, headers=bearer(raw))).status_code == 202
        scene.grants.renew(read_access_control(rules(main, condition("!has(req.claims.environment)"))))
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 403
        assert (await scene.client.post(UPLOADS, headers=bearer(raw))).status_code == 202
        again = await scene.token(("ci", ci.token(ref="main", run=2).encode()), SCOPE)
        assert (await scene.client.post(UPLOADS, headers=bearer(again))).status_code == 202


async def test_a_token_of_an_older_replica_has_unknown_claims(nursery: trio.Nursery) -> None:
    """It says nothing of them. One of today says that there are none."""
    async with giving(nursery, rules=rules(condition("!has(req.claims.ref)"))) as scene:
        token = await scene.token(ALICE, SCOPE)
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
        written = {name: value for name, value in claims_of(token).items() if name != "claims"}
        old = sign(written, scene.tokens.keys.current)
        assert (await scene.client.post(UPLOADS, headers=bearer(old))).status_code == 403


async def test_a_refreshed_token_has_the_claims_of_the_job(nursery: trio.Nursery, ci: CiService) -> None:
    """Those that rules read are in the refresh token."""
    clock = [NOW]
    logins = ci.logins(lambda: clock[0], username=(ClaimTerm("actor"),))
    async with giving(nursery, rules=rules(condition("req.claims.ref == 'main'")), oidc=logins) as scene:
        granted = await scene.grant(("ci", ci.token(ref="main").encode()), SCOPE, offline_token="true")
        scene.clock.now = clock[0] = NOW + 3000
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], "scope": SCOPE}
        token = (await scene.post(**form)).json()["token"]
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
        scene.grants.renew(read_access_control(rules(condition("!has(req.claims.environment)"))))
        token = (await scene.post(**form)).json()["token"]
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 403


async def test_a_token_has_the_groups_that_conditions_read(nursery: trio.Nursery, ci: CiService) -> None:
    """All of them, since it may ask for a group that no policy names. Groups that are unknown fulfil nothing."""
    logins = ci.logins(username=(ClaimTerm("actor"),), groups="groups")
    plain, no_guests = rules(groups=["dev"]), rules(condition("!('guests' in req.user.groups)"), groups=["dev"])
    async with giving(nursery, rules=plain, oidc=logins) as scene:
        before = {}
        for groups, status in ((["dev"], 202), (["dev", "guests"], 403), (["dev", "others"], 202)):
            raw = ci.token(groups=groups)
            login = ("ci", raw.encode())
            before[await scene.token(login, SCOPE)] = groups
            scene.grants.renew(read_access_control(no_guests))
            granted = await scene.grant(login, SCOPE, offline_token="true")
            form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], "scope": SCOPE}
            for token in (raw, granted["token"], (await scene.post(**form)).json()["token"]):
                assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == status, groups
            scene.grants.renew(read_access_control(plain))
        scene.grants.renew(read_access_control(no_guests))
        for token, groups in before.items():  # of a time when no rule read groups
            status = 202 if groups == ["dev"] else 403
            assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == status, groups


async def test_a_token_of_before_a_reload_does_not_hide_an_admin(nursery: trio.Nursery, ci: CiService) -> None:
    """What the rules of now say of the user's groups decides. A token that may lack the group of admins is no proof.

    Tokens of after the reload carry all groups.
    """
    logins = ci.logins(username=(ClaimTerm("actor"),), groups="groups")
    before = rules(condition("!req.auth.admin", "no admins"), groups=["dev"])
    after = {**before, "adminPolicy": {"groups": ["ops"], "actions": ["delete"]}}
    async with giving(nursery, rules=before, oidc=logins) as scene:
        for groups, status in ((["dev"], 202), (["dev", "ops"], 403), (["dev", "others"], 202)):
            scene.grants.renew(read_access_control(before))
            raw = ci.token(groups=groups)
            older = await scene.token(("ci", raw.encode()), SCOPE)
            assert (await scene.client.post(UPLOADS, headers=bearer(older))).status_code == 202
            scene.grants.renew(read_access_control(after))
            newer = await scene.token(("ci", raw.encode()), SCOPE)
            for token in (raw, newer):
                assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == status, groups
            expected = 202 if groups == ["dev"] else 403
            assert (await scene.client.post(UPLOADS, headers=bearer(older))).status_code == expected, groups


async def test_more_groups_than_a_token_has_room_for_are_unknown(nursery: trio.Nursery, ci: CiService) -> None:
    """Only those that policies name are in the token then. Conditions on groups fail, and all other rules hold."""
    logins = ci.logins(username=(ClaimTerm("actor"),), groups="groups")
    given = rules(condition("!('guests' in req.user.groups)"), groups=["dev"])
    given["repositories"]["team/**"]["defaultPolicy"] = ["read"]
    async with giving(nursery, rules=given, oidc=logins) as scene:
        raw = ci.token(groups=["dev", *(f"a group of many, number {number}" for number in range(200))])
        token = await scene.token(("ci", raw.encode()), SCOPE)
        assert claims_of(token)["groups"] == ["dev"]
        assert (await scene.client.post(UPLOADS, headers=bearer(raw))).status_code == 202
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 403
        assert (await scene.client.get("/v2/team/app/tags/list", headers=bearer(token))).status_code == 404


async def test_claims_that_are_too_long_get_no_token(nursery: trio.Nursery, ci: CiService) -> None:
    """A token is in the head of each request."""
    async with giving(
        nursery, rules=rules(condition("'ref' in req.claims")), oidc=ci.logins(username=(ClaimTerm("actor"),))
    ) as scene:
        raw = ci.token(ref="a" * 5000)
        answer = await scene.client.get("/zot/auth/token", params={"scope": SCOPE}, auth=("ci", raw))
        assert answer.status_code == 401
        assert "more than 4096 bytes" in answer.text


async def test_a_decision_is_not_remembered(nursery: trio.Nursery) -> None:
    """The same token, and the same password, are judged by each request."""
    async with giving(nursery, rules=rules(condition("req.userAgent != 'blocked'"))) as scene:
        token = bearer(await scene.token(ALICE, SCOPE))
        for agent, status in (("docker", 202), ("blocked", 403), ("docker", 202)):
            headers = {"User-Agent": agent}
            assert (await scene.client.post(UPLOADS, headers=headers, auth=ALICE)).status_code == status
            assert (await scene.client.post(UPLOADS, headers=headers | token)).status_code == status


async def test_the_catalog_shows_what_conditions_may_allow(nursery: trio.Nursery) -> None:
    """A condition on the caller hides repositories. One on the repository or the tag is left to the pull."""
    by_digest = condition("req.referenceType != 'tag'")
    async with giving(nursery, rules=rules(by_digest, condition("req.userAgent != 'blocked'"))) as scene:
        digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
        assert (await push(scene.client, digest, auth=ALICE)).status_code == 201
        shown = await scene.client.get("/v2/_catalog", auth=ALICE)
        assert shown.json()["repositories"] == ["team/app"]
        hidden = await scene.client.get("/v2/_catalog", auth=ALICE, headers={"User-Agent": "blocked"})
        assert hidden.json()["repositories"] == []
