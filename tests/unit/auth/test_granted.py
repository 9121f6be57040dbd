"""What a caller under `accessControl` may do, as requests ask for it, and what the refused are told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.auth.rules import ALICE, ANONYMOUS, BOB, grant, policies
from zotpy.auth.actions import Action
from zotpy.auth.granted import Granted
from zotpy.auth.permission import Identity
from zotpy.core.errors import Denied, Unauthorized
from zotpy.core.names import RepositoryName

ROOT = Identity("root", kind="htpasswd")
APP, OTHER = RepositoryName("team/app"), RepositoryName("other")
CONTROL: dict[str, Any] = {
    "repositories": {"team/*": {"policies": [grant("read create", users="alice")], "anonymousPolicy": ["read"]}},
    "adminPolicy": grant("read create update delete", users="root"),
    "metrics": {"users": ["alice"]},
}


def granted(caller: Identity, **section: Any) -> Granted:
    """Return what a caller may do."""
    return Granted(policies(**(section or CONTROL)), caller)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("repo", [None, APP, OTHER])
@pytest.mark.parametrize("caller", [ALICE, BOB, ANONYMOUS, ROOT])
def test_what_is_allowed_can_be_required(caller: Identity, action: Action, repo: RepositoryName | None) -> None:
    """`require` raises exactly where `allows` says no: 401 for callers who can log in, 403 for all others."""
    permission = granted(caller)
    if permission.allows(action, repo, "v1"):
        permission.require(action, repo, "v1")
    else:
        with pytest.raises(Denied if caller.name else Unauthorized):
            permission.require(action, repo, "v1")


@pytest.mark.parametrize(
    ("caller", "message", "detail"),
    [
        (BOB, "bob may not update tags in team/app: ask the registry's operator for the action update", "team/app"),
        (ANONYMOUS, "log in to update tags in team/app", "team/app"),
    ],
)
def test_a_refusal_says_what_was_asked(caller: Identity, message: str, detail: str) -> None:
    """It also says what to do."""
    with pytest.raises((Denied, Unauthorized)) as raised:
        granted(caller).require(Action.UPDATE, APP)
    assert raised.value.message == message
    assert raised.value.detail == {"action": "update", "repository": detail}


def test_a_refusal_tells_nothing_of_the_rules() -> None:
    """Whether a pattern matches, and which, is the operator's matter."""
    with pytest.raises(Denied) as matched:
        granted(BOB).require(Action.DELETE, APP)
    with pytest.raises(Denied) as unmatched:
        granted(BOB).require(Action.DELETE, RepositoryName("none/app"))
    assert matched.value.message == unmatched.value.message.replace("none/app", "team/app")


def test_the_registry_answers_whom_it_can_let_in() -> None:
    """Everybody who has logged in may ask for the API and the list, and others if some repository is open to them."""
    closed = granted(ANONYMOUS, repositories={"**": {"defaultPolicy": ["read"]}})
    for action in (Action.CONNECT, Action.CATALOG):
        assert granted(BOB).allows(action, None)
        assert granted(ANONYMOUS).allows(action, None)
        assert not closed.allows(action, None)


def test_only_an_admin_with_all_actions_is_unbounded() -> None:
    """For all others, what could lead to a repository that they may not read stays closed."""
    assert granted(ROOT).is_open
    assert not granted(ALICE).is_open
    assert not granted(ANONYMOUS).is_open
    everything = {"**": {"defaultPolicy": ["read", "create", "update", "delete"]}}
    assert not granted(ALICE, repositories=everything).is_open
    assert not granted(ROOT, adminPolicy=grant("read create update", users="root")).is_open
    assert not granted(Identity(), adminPolicy=grant("read create update delete", users="root")).is_open


def test_metrics_are_for_their_users() -> None:
    """The metrics are no repository."""
    assert granted(ALICE).allows(Action.METRICS, None)
    assert not granted(ROOT).allows(Action.METRICS, None)
