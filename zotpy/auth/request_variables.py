"""The variables of conditions: what an expression may read of one request, with zot's names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from zotpy.auth.actions import Action
from zotpy.auth.claims import Claims
from zotpy.cel.expressions import Expression, Failed

LONGEST_TEXT = 1024
"""Characters of a text that a client has chosen, and values of a list. What is longer makes the expression fail."""


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks for what."""

    user: str
    groups: frozenset[str]
    claims: Claims
    is_admin: bool | None
    """Whether the `adminPolicy` names the user, whatever it grants. `None`: it names groups that may be theirs."""
    action: Action
    repository: str
    reference: str
    """The tag or digest of a manifest; empty: it is about neither."""
    has_all_groups: bool = True
    """Whether the user is in no other groups than `groups`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one request. Everything is empty that is not."""

    method: str = ""
    user_agent: str = ""
    client: str = ""
    """The address of the client, as `http.trustedProxies` resolves it."""
    peer: str = ""
    """The address at the other end of the connection."""
    forwarded_for: Sequence[str] = ()
    """`X-Forwarded-For` as it came."""
    has_tls: bool = False
    tls_version: str = ""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


def _short(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        msg = f"a value of the request has more than {LONGEST_TEXT} characters"
        raise Failed(msg)
    return text


def _few(texts: Sequence[str]) -> list[str]:
    if len(texts) > LONGEST_TEXT:
        msg = f"a list of the request has more than {LONGEST_TEXT} values"
        raise Failed(msg)
    return [_short(each) for each in texts]


def _groups(question: Question) -> list[str]:
    """Return all groups of the user. With some of them missing, a condition would take the user for an outsider."""
    if not question.has_all_groups:
        msg = "it reads groups, and the token does not carry all groups of its user"
        raise Failed(msg)
    return _few(sorted(question.groups))


def _is_admin(question: Question) -> bool:
    """Say whether the user is an admin. A token of before a reload may lack just the group that is so now."""
    if question.is_admin is None:
        msg = "it reads whether the user is an admin, and the token does not carry all groups of its user"
        raise Failed(msg)
    return question.is_admin


def _reference(question: Question, *, is_digest: bool) -> str:
    return _short(question.reference) if (":" in question.reference) is is_digest else ""


def _reference_type(question: Question) -> str:
    if not question.reference:
        return ""
    return "digest" if ":" in question.reference else "tag"


READERS: Mapping[str, Callable[[Facts, Question, Expression], Any]] = {
    "req.time": lambda facts, _, __: facts.time,
    "req.method": lambda facts, _, __: _short(facts.method),
    "req.userAgent": lambda facts, _, __: _short(facts.user_agent),
    "req.action": lambda _, question, __: str(question.action),
    "req.repository": lambda _, question, __: question.repository,
    "req.reference": lambda _, question, __: _short(question.reference),
    "req.referenceType": lambda _, question, __: _reference_type(question),
    "req.tag": lambda _, question, __: _reference(question, is_digest=False),
    "req.digest": lambda _, question, __: _reference(question, is_digest=True),
    "req.user.username": lambda _, question, __: _short(question.user),
    "req.user.groups": lambda _, question, __: _groups(question),
    "req.auth.anonymous": lambda _, question, __: not question.user,
    "req.auth.admin": lambda _, question, __: _is_admin(question),
    "req.client.ip": lambda facts, _, __: facts.client,
    "req.client.peer": lambda facts, _, __: facts.peer,
    "req.client.forwardedFor": lambda facts, _, __: _few(facts.forwarded_for),
    "req.tls.enabled": lambda facts, _, __: facts.has_tls,
    "req.tls.version": lambda facts, _, __: facts.tls_version,
    "req.claims": lambda _, question, expression: question.claims.read_by(expression.fields_of("req.claims")),
}
"""How to read each of `zotpy.cel.environments.OF_REQUESTS`."""
