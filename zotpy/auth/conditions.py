"""The `conditions` of policies: expressions over one request, all of which must be true for the policy to grant.

zot's words and variables. An expression that fails is as one that is false, and its message is not shown. Nothing that
was decided here is remembered beyond the request: it depends on the time, the address and the tag.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from zotpy.auth.actions import Action
from zotpy.auth.claims import Claims
from zotpy.cel.expressions import Allowance, Expression, Failed

LONGEST_TEXT = 1024
"""Characters of a text that a client has chosen, and values of a list. What is longer makes the expression fail."""
_OF_PLACE = frozenset({"req.repository", "req.reference", "req.referenceType", "req.tag", "req.digest"})
"""What a question about a list of repositories leaves open."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them, compiled."""

    expression: Expression
    message: str


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


class Circumstances(Protocol):
    """Judges the conditions of a policy that would grant what is asked for."""

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Return `None` if all are fulfilled, otherwise the message of the one that is not; it may be empty."""
        ...


class Unjudged:
    """Nothing is known of the request, so no condition is fulfilled."""

    __slots__ = ()

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Refuse if there is any condition."""
        del question
        return "" if conditions else None


class Hoped:
    """It is asked what might be granted at all: to write it into a token, or where a grant takes something away."""

    __slots__ = ()

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Refuse nothing. Each request is judged when it comes."""
        del conditions, question
        return None


@dataclass(slots=True)
class Noted:
    """It is asked whether a decision depends on conditions at all. What is decided meanwhile counts only if not."""

    was_asked: bool = False

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Note that there are conditions."""
        del conditions, question
        self.was_asked = True
        return None


UNJUDGED, HOPED = Unjudged(), Hoped()


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


@dataclass(slots=True)
class Judge:
    """Evaluates the conditions that one request meets. It must not be used for another one."""

    read: Callable[[], Facts]
    """Called at the first condition, if there is any."""
    has_reference: bool = True
    """Whether the request is about a manifest. Blobs and uploads have no reference, as in zot."""
    _facts: Facts | None = None
    _allowance: Allowance | None = None
    _judged: dict[tuple[str, ...], bool | None] = field(default_factory=dict)
    """What was decided already; `None`: the expression failed."""

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Evaluate conditions until one is not fulfilled."""
        if conditions and not self.has_reference:
            question = replace(question, reference="")
        return self._refuses(conditions, question, is_open=False)

    def _refuses(self, conditions: Sequence[Condition], question: Question, *, is_open: bool) -> str | None:
        for each in conditions:
            if is_open and each.expression.variables & _OF_PLACE:
                continue
            answer = self._judge(each.expression, question, () if is_open else _place(question))
            if not answer:
                return "" if answer is None else each.message
        return None

    def _judge(self, expression: Expression, question: Question, place: tuple[str, ...]) -> bool | None:
        """Return whether a condition is fulfilled; `None`: it failed."""
        key = (expression.text, *place)
        if key not in self._judged:
            try:
                self._allowance = self._allowance or Allowance()
                self._judged[key] = expression.yes_or_no(self._input(expression, question), self._allowance)
            except Failed as failed:
                log.warning("condition_not_evaluated", expression=expression.text, reason=str(failed)[:500])
                self._judged[key] = None
        return self._judged[key]

    def _input(self, expression: Expression, question: Question) -> Mapping[str, Any]:
        """Return the variables that an expression reads. Raises `Failed`."""
        self._facts = facts = self._facts or self.read()
        return {name: _READERS[name](facts, question, expression) for name in expression.variables}


@dataclass(frozen=True, slots=True)
class Listing:
    """The request asks which of many repositories to list. Conditions on one of them are left to later requests."""

    of: Circumstances

    def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
        """Evaluate each condition that is the same for all repositories, once."""
        if isinstance(self.of, Judge):
            return self.of._refuses(conditions, question, is_open=True)  # noqa: SLF001 - of this module
        return self.of.refuses(conditions, question)


def _place(question: Question) -> tuple[str, ...]:
    return (question.action, question.repository, question.reference)


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


_READERS: Mapping[str, Callable[[Facts, Question, Expression], Any]] = {
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
