"""The scopes of API keys: what a key may do at most, whatever its owner may.

A scope is `repository:PATTERN:pull,push,delete` or `registry:catalog:*`, in the words of Docker's tokens. A pattern is
one of `http.accessControl`: `team/app`, `team/*`, `**`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from zotpy.auth.actions import Action
from zotpy.auth.scopes import CATALOG, EVERYTHING, NEEDED, ON_REPOSITORIES, REGISTRY, REPOSITORY, Scope
from zotpy.core.globs import read_glob, rivalry, texts
from zotpy.core.names import RepositoryName

MOST_SCOPES = 32
LONGEST_SCOPE = 512
MOST_RIVALS = 1
MOST_TEXTS = 64
"""What patterns may have of `zotpy.core.globs.rivalry` and `texts`. They are those of users, and of each request many
are compared, so they have less than those of the operator."""
EXAMPLE = "repository:team/*:pull,push"


@dataclass(frozen=True, slots=True)
class KeyScopes:
    """All scopes of one key."""

    on_repositories: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = ()
    has_catalog: bool = False
    is_unlimited: bool = True
    """The key has no scopes: it may do all that its owner may, but no key can manage keys."""

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read the scopes of a key. Raises `ValueError`, with what to write instead."""
        if len(texts) > MOST_SCOPES:
            msg = f"the key would have {len(texts)} scopes: write at most {MOST_SCOPES}, with * in their patterns"
            raise ValueError(msg)
        on_repositories, has_catalog = [], False
        for text in texts:
            scope = None if len(text) > LONGEST_SCOPE else Scope.parse(text)
            if scope is None or not text.startswith((f"{REGISTRY}:", f"{REPOSITORY}:")):
                msg = f"{text[:LONGEST_SCOPE]!r} is no scope: write one such as {EXAMPLE}"
                raise ValueError(msg)
            if scope.kind == REGISTRY:
                if (scope.name, scope.actions) != (CATALOG, (EVERYTHING,)):
                    msg = f"{text!r} is no scope: of the registry itself there is only registry:catalog:*"
                    raise ValueError(msg)
                has_catalog = True
            else:
                on_repositories.append((_pattern(scope, text), _actions(scope, text)))
        return cls(tuple(on_repositories), has_catalog, is_unlimited=not texts)

    def covers(self, action: Action, repo: RepositoryName | None) -> bool:
        """Say whether a key with these scopes is good for an action."""
        if action is Action.KEYS:
            return False
        if self.is_unlimited or action is Action.CONNECT:
            return True
        if action is Action.CATALOG:
            return self.has_catalog
        if repo is None or (needed := NEEDED.get(action)) is None:
            return False
        return any(needed in actions and pattern.match(repo.text) for pattern, actions in self.on_repositories)


def _pattern(scope: Scope, text: str) -> re.Pattern[str]:
    try:
        if rivalry(scope.name) > MOST_RIVALS:
            msg = "its stars compete: write ** once, and * once between two slashes"
            raise ValueError(msg)  # noqa: TRY301 - explained below as the others
        if texts(scope.name) > MOST_TEXTS:
            msg = f"its braces stand for more than {MOST_TEXTS} texts"
            raise ValueError(msg)  # noqa: TRY301
        return read_glob(scope.name, "team/*")
    except (ValueError, re.error) as error:
        msg = f"the pattern in the scope {text!r} cannot be used: {error}"
        raise ValueError(msg) from error


def _actions(scope: Scope, text: str) -> frozenset[str]:
    actions = frozenset(ON_REPOSITORIES) if EVERYTHING in scope.actions else frozenset(scope.actions)
    if not actions or actions - frozenset(ON_REPOSITORIES):
        msg = f"the actions in the scope {text!r} are not known: write pull, push and delete, with commas"
        raise ValueError(msg)
    return actions
