"""A registry with rules and without any login: every caller is anonymous, and cannot be asked for more."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.auth.rules import policies
from tests.unit.web.serving import CONFIG, REPO, Replica, codes_of, serving
from zotpy.auth.actions import Action
from zotpy.auth.conditions import UNJUDGED
from zotpy.auth.grants import Grants
from zotpy.auth.permission import Identity
from zotpy.auth.scopes import Access
from zotpy.core.names import RepositoryName, Tag
from zotpy.web.login import admit_nobody_by_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

RULES = {"**": {"anonymousPolicy": ["read"]}, "team/**": {"anonymousPolicy": ["read", "create"]}}


@pytest.fixture
async def replica(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica where anonymous callers may push below `team`, and pull everywhere."""
    grants = Grants(policies(repositories=RULES, metrics={"anonymousPolicy": ["read"]}).settings)
    async with serving(nursery, admit=partial(admit_nobody_by_name, grants)) as made:
        yield made


@pytest.mark.parametrize("auth", [None, ("alice", "left over")])
async def test_everybody_has_what_anonymous_callers_have(replica: Replica, auth: tuple[str, str] | None) -> None:
    """Also clients that send credentials which they have for another registry. `/v2/` asks nobody to log in."""
    if auth is not None:
        replica.client.auth = auth
    assert (await replica.client.get("/v2/")).status_code == 200
    assert (await replica.client.get("/metrics")).status_code == 200
    assert (await replica.push_image("v1")).status_code == 201
    assert (await replica.client.get(f"/v2/{REPO}/tags/list")).json()["tags"] == ["v1"]
    assert (await replica.client.get("/v2/_catalog")).json()["repositories"] == [REPO]


@pytest.mark.parametrize(("method", "path"), [("POST", "other/app/blobs/uploads/"), ("DELETE", f"{REPO}/manifests/v1")])
async def test_what_is_not_granted_is_denied(replica: Replica, method: str, path: str) -> None:
    """Nobody can log in here, so a 401 would lead nowhere."""
    answer = await replica.client.request(method, f"/v2/{path}", content=CONFIG)
    assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
    assert "an anonymous caller may not" in answer.text
    assert "WWW-Authenticate" not in answer.headers


def test_tokens_whose_access_is_final_move_no_immutable_tag() -> None:
    """No policy is asked about such a token. An immutable tag is no matter of policies."""
    grants = Grants(policies(repositories={"**": {"immutableTags": ["v*"]}}).settings)
    token = grants(Identity("robot", access=Access(frozenset(), is_final=True)), UNJUDGED)
    assert token.is_fixed(Action.UPDATE, RepositoryName(REPO), Tag("v1"))
    assert not token.is_fixed(Action.UPDATE, RepositoryName(REPO), Tag("latest"))
    assert not token.is_open
