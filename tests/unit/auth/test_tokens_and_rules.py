"""A token never gives more than its login, whatever the rules were when it was given, and what they are now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zotpy.auth.actions import Action
from zotpy.auth.claims import NO_CLAIMS, UNKNOWN, Claims
from zotpy.auth.conditions import Judge
from zotpy.auth.grants import Grants
from zotpy.auth.permission import Identity
from zotpy.auth.request_variables import Facts
from zotpy.auth.scopes import read_scopes
from zotpy.auth.tokens import Tokens
from zotpy.bucket.token_keys import TokenKeys
from zotpy.config.access import read_access_control
from zotpy.core.names import RepositoryName
from zotpy.store.memory_store import MemoryStore

NOW = 1_800_000_000.0
EXAMPLES = 500
"""Of so many some fail surely if tokens leave out a group or a claim that rules read."""
APP = RepositoryName("team/app")
SCOPES = tuple(read_scopes(["repository:team/app:pull,push,delete registry:catalog:*"]))
ACTIONS = ["read", "create", "update", "delete"]
GROUPS = ["a", "b", "c", "local"]
CONDITIONS = [
    "!('a' in req.user.groups)",
    "'b' in req.user.groups",
    "size(req.user.groups) < 2",
    "req.user.groups.all(group, group != 'c')",
    "!has(req.claims.a)",
    "req.claims.a == 'x'",
    "size(req.claims) == 0",
    "req.claims.?b.orValue('x') == 'x'",
    "!('b' in req.claims)",
    "!req.auth.admin",
    "req.auth.admin",
    "req.action != 'update'",
    "req.tag == '' || req.tag.startsWith('v')",
]
GRANTS = st.fixed_dictionaries(
    {
        "groups": st.lists(st.sampled_from(GROUPS), min_size=1, max_size=1),
        "actions": st.just(ACTIONS),
        "conditions": st.sampled_from(CONDITIONS).map(lambda text: [{"expression": text}]),
    }
)
RULES = st.fixed_dictionaries(
    {
        "repositories": st.fixed_dictionaries(
            {"team/**": st.fixed_dictionaries({"policies": st.lists(GRANTS, min_size=1, max_size=2)})}
        ),
        "groups": st.just({"local": {"users": ["alice"]}}),
        "adminPolicy": st.fixed_dictionaries(
            {"groups": st.lists(st.sampled_from([*GROUPS, "d"]), max_size=1), "actions": st.just(["delete"])}
        ),
    }
)
CLAIMS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.just("x")).map(Claims)
USERS = st.builds(
    Identity,
    st.just("alice"),
    st.frozensets(st.sampled_from([*GROUPS[:3], "d"])),
    st.just("oidc"),
    claims=st.one_of(CLAIMS, st.sampled_from([NO_CLAIMS, UNKNOWN])),
)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Return a store for the keys."""
    return MemoryStore(lambda: datetime.fromtimestamp(NOW, UTC))


@settings(max_examples=EXAMPLES)
@given(before=RULES, after=st.none() | RULES, user=USERS)
async def test_a_token_gives_no_more_than_its_login(
    store: MemoryStore, before: dict[str, Any], after: dict[str, Any] | None, user: Identity
) -> None:
    """It gives exactly as much while the rules stay as they were."""
    grants = Grants(read_access_control(before))
    keys = await TokenKeys.open(store, 86400.0)
    tokens = Tokens(keys, "here", 300.0, 0.0, {}, grants.counting, lambda: NOW, grants.named_claims)
    bearer = await tokens.read(tokens.issue(user, SCOPES).token)
    assert bearer is not None
    if after is not None:
        grants.renew(read_access_control(after))
    for action in (Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE, Action.PUSH, Action.CATALOG):
        for tag in ("", "v1", "other"):
            by_token, by_login = (grants(each, Judge(Facts)).allows(action, APP, tag) for each in (bearer, user))
            assert by_login or not by_token
            assert after is not None or by_token == by_login
