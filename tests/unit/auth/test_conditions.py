"""Conditions of policies: zot's variables, messages, and that what cannot be judged grants nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.auth.rules import ALICE, grant, policies
from zotpy.auth.actions import Action
from zotpy.auth.claims import NO_CLAIMS, UNKNOWN, Claims
from zotpy.auth.conditions import HOPED, UNJUDGED, Circumstances, Judge, Listing
from zotpy.auth.granted import Granted
from zotpy.auth.permission import Identity
from zotpy.auth.request_variables import LONGEST_TEXT, Facts
from zotpy.cel.environments import OF_REQUESTS
from zotpy.core.errors import Denied
from zotpy.core.names import RepositoryName, Tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zotpy.auth.decision import Decision

DIGEST = "sha256:" + "a" * 64
NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
FACTS = Facts(
    method="PUT",
    user_agent="docker/29.0",
    client="203.0.113.9",
    peer="10.0.0.5",
    forwarded_for=["203.0.113.9", "10.0.0.1"],
    has_tls=True,
    tls_version="1.3",
    time=NOON,
)
CI = Identity("ci", frozenset({"robots"}), "oidc", claims=Claims({"ref": "main", "n": 1.0}))
APP = RepositoryName("team/app")


def conditional(*texts: str, users: str = "alice ci") -> Mapping[str, Any]:
    """Return rules with one policy that has conditions; each text is its own message."""
    conditions = [{"expression": text, "message": text} for text in texts]
    policy = {**grant("read create update delete detectManifestCollision", users=users), "conditions": conditions}
    return {"repositories": {"**": {"policies": [policy]}}, "adminPolicy": grant("read", users="root")}


def decide(
    text: str,
    caller: Identity = ALICE,
    action: Action = Action.CREATE,
    reference: str = "v1",
    circumstances: Circumstances | None = None,
) -> Decision:
    """Decide by a rule with one condition."""
    judge = circumstances or Judge(lambda: FACTS)
    return policies(**conditional(text)).decide(caller, action, "team/app", reference, judge)


@pytest.mark.parametrize(
    "text",
    [
        "req.time == timestamp('2026-11-29T12:00:00Z') && req.time.getHours() == 12",
        "req.method == 'PUT' && req.userAgent.startsWith('docker/')",
        "req.action == 'create' && req.repository == 'team/app'",
        "req.reference == 'v1' && req.referenceType == 'tag' && req.tag == 'v1' && req.digest == ''",
        "req.user.username == 'ci' && req.user.groups == ['bots', 'robots']",
        "!req.auth.anonymous && !req.auth.admin",
        "req.client.ip == '203.0.113.9' && req.client.peer == '10.0.0.5'",
        "req.client.peer == '10.0.0.5' && req.client.forwardedFor[0].startsWith('203.0.113.')",
        "req.tls.enabled && req.tls.version == '1.3'",
        "req.claims.ref == 'main' && !has(req.claims.env) && req.claims.n == 1",
    ],
)
def test_a_condition_has_zots_variables(text: str) -> None:
    """All of them, with the values of the request."""
    rules = policies(**conditional(text), groups={"bots": {"users": ["ci"]}})
    assert rules.decide(CI, Action.CREATE, "team/app", "v1", Judge(lambda: FACTS)).is_allowed


def test_every_variable_can_be_read() -> None:
    """A condition may read each of them, even if nothing is known of the request."""
    for name, kind in OF_REQUESTS:
        text = {"map": f"size({name}) == 0", "bool": f"{name} || !{name}"}.get(kind, f"{name} == {name}")
        assert decide(text, circumstances=Judge(Facts)).is_allowed, name


@pytest.mark.parametrize(
    ("reference", "kind"), [("", ""), ("v1", "tag"), (DIGEST, "digest")], ids=["none", "tag", "digest"]
)
def test_a_reference_is_a_tag_or_a_digest(reference: str, kind: str) -> None:
    """`req.referenceType` is `tag` or `digest`, and empty if the request has no reference."""
    text = f"req.referenceType == '{kind}' && req.tag + req.digest == req.reference"
    assert decide(text, reference=reference).is_allowed


def test_blobs_and_uploads_have_no_reference() -> None:
    """They have none in zot either. The id of an upload is no tag."""
    judge = Judge(lambda: FACTS, has_reference=False)
    assert decide("req.reference + req.tag + req.referenceType == ''", reference="id", circumstances=judge).is_allowed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("req.tag == 'v2'", "req.tag == 'v2'"),
        ("req.claims.ref == 'main'", ""),
        ("1 / 0 == 1", ""),
        ("req.claims.ref", ""),
        ("timestamp(req.tag) < req.time", ""),
        ("req.client.forwardedFor[7] == ''", ""),
    ],
)
def test_what_is_not_fulfilled_grants_nothing(text: str, reason: str) -> None:
    """Only a condition that is false says its message. What went wrong with another one is for the log."""
    decision = decide(text)
    assert not decision.is_allowed
    assert decision.reason == reason
    with pytest.raises(Denied) as raised:
        Granted(policies(**conditional(text)), ALICE, Judge(lambda: FACTS)).require(Action.CREATE, APP, "v1")
    assert raised.value.detail == {
        "action": "create",
        "repository": "team/app",
        **({"reason": reason} if reason else {}),
    }


def test_all_conditions_must_be_fulfilled_and_another_policy_may_grant() -> None:
    """The message is that of the last one that was in the way."""
    rules = conditional("req.tag == 'v1'", "req.method == 'GET'")
    assert policies(**rules).decide(ALICE, Action.READ, "a", "v1", Judge(lambda: FACTS)).reason == "req.method == 'GET'"
    rules["repositories"]["**"]["defaultPolicy"] = ["read"]
    assert policies(**rules).decide(ALICE, Action.READ, "a", "v1", Judge(lambda: FACTS)).is_allowed


def test_the_admin_policy_has_conditions_too() -> None:
    """An admin with conditions is not let past what is looked up for others."""
    admin = {**grant("read create update delete", users="alice"), "conditions": [{"expression": "req.tls.enabled"}]}
    rules = policies(adminPolicy=admin)
    assert rules.decide(ALICE, Action.READ, "a", "", Judge(lambda: FACTS)).is_allowed
    assert not rules.decide(ALICE, Action.READ, "a", "", Judge(Facts)).is_allowed
    assert not Granted(rules, ALICE, Judge(lambda: FACTS)).is_open
    immutable = policies(adminPolicy=admin, repositories={"**": {"immutableTags": ["*"]}})
    assert not Granted(immutable, ALICE, Judge(lambda: FACTS)).is_fixed(Action.UPDATE, APP, Tag("v1"))
    assert Granted(immutable, ALICE, Judge(Facts)).is_fixed(Action.UPDATE, APP, Tag("v1"))


def test_without_a_request_no_condition_is_fulfilled() -> None:
    """Unless it is only asked what might be granted."""
    assert not decide("true", circumstances=UNJUDGED).is_allowed
    assert decide("false", circumstances=HOPED).is_allowed


def test_claims_that_are_unknown_are_not_missing() -> None:
    """A token of ours, or an API key, has only some claims of its owner."""
    text = "!has(req.claims.env)"
    assert decide(text, Identity("alice", claims=NO_CLAIMS)).is_allowed
    assert decide(text, Identity("alice", claims=Claims({}, frozenset({"env"})))).is_allowed
    assert not decide(text, Identity("alice", claims=UNKNOWN)).is_allowed
    assert not decide("!('env' in req.claims)", Identity("alice", claims=Claims({}, frozenset({"env"})))).is_allowed
    assert policies(**conditional(text, "req.claims['a/b'] == 'c'")).named_claims == frozenset({"env", "a/b"})
    assert policies(**conditional("'env' in req.claims")).named_claims is None


def test_a_collision_is_detected_whatever_conditions_say() -> None:
    """The action takes something away: a condition that fails does not give it back."""
    assert Granted(policies(**conditional("1 / 0 == 1")), ALICE, Judge(lambda: FACTS)).detects_collisions(APP)


def test_a_list_leaves_open_what_is_about_one_repository() -> None:
    """Everything else is judged, once for all repositories."""
    asked: list[Facts] = []

    def facts() -> Facts:
        asked.append(FACTS)
        return FACTS

    def shown(*texts: str) -> bool:
        permission = Granted(policies(**conditional(*texts)), ALICE, Judge(facts))
        return [permission.allows(Action.CATALOG, RepositoryName(f"a{number}")) for number in range(50)] == [True] * 50

    assert shown("req.repository == 'b'", "req.referenceType == 'digest'", "req.client.ip == '203.0.113.9'")
    assert not shown("req.repository == 'b'", "req.client.ip == '203.0.113.1'")
    assert len(asked) == 2
    assert Listing(HOPED).of is HOPED
    assert not decide("true", circumstances=Listing(UNJUDGED)).is_allowed


@pytest.mark.parametrize(
    "facts",
    [
        Facts(user_agent="a" * (LONGEST_TEXT + 1)),
        Facts(user_agent="\udc80"),
        Facts(forwarded_for=["a"] * (LONGEST_TEXT + 1)),
        Facts(forwarded_for=["a" * 1000] * 1000),
    ],
    ids=["long", "half a character", "many", "many and long"],
)
def test_a_request_that_is_too_long_fulfils_nothing(facts: Facts) -> None:
    """A client writes both headers as it likes."""
    text = "!req.userAgent.contains('bad') && !('bad' in req.client.forwardedFor)"
    assert not decide(text, circumstances=Judge(lambda: facts)).is_allowed
    assert decide(text, circumstances=Judge(Facts)).is_allowed


def test_the_conditions_of_one_request_cost_no_more_than_is_bearable() -> None:
    """A push of many tags asks for each of them. What lies beyond the bound grants nothing."""
    text = "req.client.forwardedFor.exists(a, a == req.tag) || true"
    rules = policies(**conditional(text))
    judge = Judge(lambda: Facts(forwarded_for=["a"] * 100))
    answers = [rules.decide(ALICE, Action.CREATE, "a", f"v{number}", judge).is_allowed for number in range(1000)]
    assert answers[0]
    assert not answers[-1]
    assert answers == sorted(answers, reverse=True)
