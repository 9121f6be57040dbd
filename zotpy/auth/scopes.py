"""What a token is good for: the scopes that a client asks for, and those that a token has.

The words are those of Docker's token specification: `repository:NAME:pull,push,delete` and `registry:catalog:*`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

from zotpy.auth.actions import Action
from zotpy.core.names import RepositoryName

PULL, PUSH, DELETE, EVERYTHING = "pull", "push", "delete", "*"
REPOSITORY, REGISTRY, CATALOG = "repository", "registry", "catalog"
ON_REPOSITORIES: Mapping[str, Action] = {PULL: Action.READ, PUSH: Action.PUSH, DELETE: Action.DELETE}
"""What each action of a scope needs."""
NEEDED: Mapping[Action, str] = {
    Action.READ: PULL,
    Action.CREATE: PUSH,
    Action.UPDATE: PUSH,
    Action.PUSH: PUSH,
    Action.DELETE: DELETE,
}
"""Which action of a scope a request needs."""
_KIND = re.compile(r"(registry|repository)(?:\([a-z0-9]{1,32}\))?", re.ASCII)
"""Docker writes `repository(plugin)` for a plugin."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Some actions on one thing."""

    kind: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `kind:name:action,action`. `None`: the text is none, or its kind is unknown. A name may have colons."""
        kind, _, rest = text.partition(":")
        name, colon, actions = rest.rpartition(":")
        found = _KIND.fullmatch(kind)
        if found is None or not colon or not name:
            return None
        return cls(found[1], name, tuple(dict.fromkeys(filter(None, actions.split(",")))))


def read_scopes(texts: Iterable[str]) -> Iterator[Scope]:
    """Read scopes, several of which may be in one text. What is no scope is left out."""
    for text in dict.fromkeys(each for listed in texts for each in listed.split()):
        if (scope := Scope.parse(text)) is not None:
            yield scope


@dataclass(frozen=True, slots=True)
class Access:
    """What a token lets its bearer do: a caller may do nothing besides."""

    granted: frozenset[tuple[str, str, str]]
    """Kind, name and one action each."""
    is_final: bool = False
    """The rules of this registry are not asked: a token service has asked its own."""

    def covers(self, action: Action, repo: RepositoryName | None) -> bool:
        """Say whether the token is good for an action."""
        if action is Action.CONNECT:
            return True
        if action is Action.CATALOG:
            return (REGISTRY, CATALOG, EVERYTHING) in self.granted
        if repo is None or (needed := NEEDED.get(action)) is None:
            return False
        named = (REPOSITORY, repo.text)
        return (*named, needed) in self.granted or (*named, EVERYTHING) in self.granted

    @classmethod
    def of(cls, scopes: Iterable[Scope], *, is_final: bool = False) -> Self:
        """Return the access to these scopes."""
        return cls(frozenset((each.kind, each.name, action) for each in scopes for action in each.actions), is_final)


def written(scopes: Sequence[Scope]) -> list[dict[str, object]]:
    """Write scopes as the claim `access` of a token."""
    return [{"type": each.kind, "name": each.name, "actions": list(each.actions)} for each in scopes]


def scopes_of(claim: object, now: float) -> Iterator[Scope]:
    """Read the claim `access`. What is malformed, or has an `exp` that has passed, is left out."""
    for each in claim if isinstance(claim, list) else ():
        if not isinstance(each, Mapping):
            continue
        kind, name, actions, until = (each.get(word) for word in ("type", "name", "actions", "exp"))
        if until is not None and not (isinstance(until, int | float) and until > now):
            continue
        if isinstance(kind, str) and isinstance(name, str) and isinstance(actions, list):
            yield Scope(kind, name, tuple(action for action in actions if isinstance(action, str)))


def earliest_end(claim: object) -> float:
    """Return when the first of the entries of the claim `access` ends by its own `exp`; infinity: none does."""
    ends = [each.get("exp") for each in claim if isinstance(each, Mapping)] if isinstance(claim, list) else []
    return min((float(end) for end in ends if isinstance(end, int | float)), default=inf)


def needed_scope(action: Action, name: str) -> str:
    """Write the scope that a request needs, for a challenge; empty if no scope would help."""
    if action is Action.CATALOG:
        return f"{REGISTRY}:{CATALOG}:{EVERYTHING}"
    if not name or (needed := NEEDED.get(action)) is None:
        return ""
    return f"{REPOSITORY}:{name}:" + (f"{PULL},{PUSH}" if needed == PUSH else needed)
