"""Tokens of CI jobs whose claims are read by expressions: who their bearers are, and that an error lets nobody in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.web.desks import NOW, bearer, claims_of, giving
from tests.unit.web.issuers import CiService, ci_service
from zotpy.auth.claim_mapping import MOST_GROUPS
from zotpy.auth.claims import Claims
from zotpy.cel.expressions import Failed
from zotpy.core.errors import TokenInvalid
from zotpy.settings import ConditionSettings, VariableSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import trio

    from zotpy.auth.permission import Identity

UPLOADS = "/v2/team/app/blobs/uploads/"
MAPPING: dict[str, Any] = {
    "variables": (
        VariableSettings("repo", "claims.sub.split(':')[1]"),
        VariableSettings("owner", "vars.repo.split('/')[0]"),
    ),
    "validations": (
        ConditionSettings("vars.owner == 'acme'", "only acme may push"),
        ConditionSettings("claims.ref.startsWith('refs/heads/')", "branches alone"),
    ),
    "username_by": "claims.actor + '@' + vars.repo",
    "groups_by": "['ci', 'ci-' + vars.owner] + claims.?teams.orValue([])",
}
RULES: dict[str, Any] = {"repositories": {"team/**": {"policies": [{"groups": ["ci-acme"], "actions": ["create"]}]}}}


@pytest.fixture
def ci() -> Iterator[CiService]:
    """Run an issuer."""
    with ci_service() as service:
        yield service


def token(ci: CiService, **changed: Any) -> str:
    """Write a token of a branch."""
    return ci.token(**{"ref": "refs/heads/main", **changed})


async def read(ci: CiService, settings: Mapping[str, Any], **changed: Any) -> Identity:
    """Return whose token it is. Raises `TokenInvalid`."""
    identity = await ci.logins(**settings).read(token(ci, **changed))
    assert identity is not None
    return identity


async def test_claims_become_a_name_and_groups(nursery: trio.Nursery, ci: CiService) -> None:
    """Variables come first, then validations. The groups count in rules."""
    identity = await read(ci, MAPPING, teams=["blue"])
    assert identity.name == "alice@acme/app"
    assert identity.groups == {"ci", "ci-acme", "blue"}
    async with giving(nursery, rules=RULES, oidc=ci.logins(**MAPPING)) as scene:
        assert (await scene.client.post(UPLOADS, headers=bearer(token(ci)))).status_code == 202


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sub": "repo:other/app"}, "the token is refused: only acme may push"),
        ({"ref": "refs/tags/v1"}, "the token is refused: branches alone"),
        *(
            (changed, "the registry cannot evaluate the claims of the token: its log says why")
            for changed in (
                {"ref": None},
                {"ref": 1},
                {"ref": ["refs/heads/main"]},
                {"sub": "repo"},
                {"sub": None},
                {"actor": None},
                {"actor": 7},
                {"teams": "blue"},
                {"teams": [1]},
                {"ref": 1 << 1100},
            )
        ),
        ({"sub": "repo:acme/" + "a/" * 5000}, "the user name in the token is empty or too long, or cannot be shown"),
        ({"actor": "a" * 600}, "the user name in the token is empty or too long, or cannot be shown"),
        ({"actor": "a\nb"}, "the user name in the token is empty or too long, or cannot be shown"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_an_error_lets_nobody_in(ci: CiService, changed: dict[str, Any], told: str) -> None:
    """A validation says its message. Everything else that goes wrong is for the log."""
    with pytest.raises(TokenInvalid) as raised:
        await read(ci, MAPPING, **changed)
    assert raised.value.message == told


async def test_a_huge_result_is_refused(ci: CiService) -> None:
    """Groups are bounded, each and all together."""
    many = "claims.n.split('').map(x, claims.n)"
    with pytest.raises(TokenInvalid, match="more than 1000 groups"):
        await read(ci, {"groups_by": "claims.n.split(',')"}, n=",".join(map(str, range(MOST_GROUPS + 1))))
    with pytest.raises(TokenInvalid, match="cannot evaluate"):
        await read(
            ci,
            {"groups_by": "[claims.n, claims.n + 'b', claims.n + 'c', claims.n + 'd', claims.n + 'e', claims.n + 'f']"},
            n="a" * 11_000,
        )
    with pytest.raises(ValueError, match="could hold up a replica"):
        ci.logins(groups_by=many)


async def test_a_refresh_token_has_the_claims_that_expressions_read(nursery: trio.Nursery, ci: CiService) -> None:
    """They are evaluated again. If the configuration reads further claims by then, the job has to log in again."""
    clock = [NOW]
    logins = ci.logins(lambda: clock[0], **MAPPING)
    async with giving(nursery, rules=RULES, oidc=logins) as scene:
        given = token(ci, secret="not for the client's disk")
        granted = await scene.grant(("ci", given.encode()), offline_token="true")
        noted = claims_of(granted["refresh_token"])["login"]
        assert set(noted["values"]) == {"iss", "aud", "sub", "ref", "actor"}
        assert set(noted["known"]) == {"iss", "aud", "sub", "ref", "actor", "teams"}
        scene.clock.now = clock[0] = NOW + 3000
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        assert claims_of((await scene.post(**form)).json()["token"])["sub"] == "alice@acme/app"
        closed = (ConditionSettings("claims.actor != 'alice'", "no"),)
        logins.issuers = ci.logins(**{**MAPPING, "validations": closed}).issuers
        assert (await scene.post(**form)).status_code == 401
        further = (ConditionSettings("!has(claims.environment)", "no"),)
        logins.issuers = ci.logins(**{**MAPPING, "validations": further}).issuers
        assert (await scene.post(**form)).status_code == 401


def test_a_claim_that_was_left_out_is_not_missing() -> None:
    """An expression over it fails, instead of taking it for missing."""
    claims = Claims({"a": 1, "b": [True, {"c": 2}]}).kept(frozenset({"b", "d"}))
    assert claims.read_by(frozenset({"b", "d"})) == {"b": [True, {"c": 2.0}]}
    assert Claims.parse(claims.written()) == claims
    for names in (frozenset({"a"}), None):
        with pytest.raises(Failed):
            claims.read_by(names)
    assert Claims({"a": 1}).kept(None).read_by(None) == {"a": 1.0}
    for document in (None, {}, {"a": 1}, {"values": 1}):
        with pytest.raises(Failed):
            Claims.parse(document).read_by(frozenset({"a"}))
