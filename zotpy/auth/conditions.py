"""The `conditions` of policies: expressions over one request, all of which must be true for the policy to grant.

zot's words. An expression that fails is as one that is false, and its message is not shown. Nothing that was decided
here is remembered beyond the request: it depends on the time, the address and the tag.
`zotpy.auth.request_variables` has what an expression may read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from zotpy.auth.request_variables import READERS, Facts, Question
from zotpy.cel.expressions import Allowance, Expression, Failed

_OF_PLACE = frozenset({"req.repository", "req.reference", "req.referenceType", "req.tag", "req.digest"})
"""What a question about a list of repositories leaves open."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them, compiled."""

    expression: Expression
    message: str


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
        return {name: READERS[name](facts, question, expression) for name in expression.variables}


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
