"""What the bearer of a token may do: what the rules permit, and no more than the token is good for."""

from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.auth.key_scopes import KeyScopes
from zotpy.auth.permission import Identity, Permission
from zotpy.auth.scopes import Access
from zotpy.core.errors import Denied, RegistryError, ScopeInsufficient
from zotpy.core.names import RepositoryName, Tag

TOKEN = "token"  # noqa: S105 - what decides
"""The rule that decides about what a token is not good for."""


@dataclass(frozen=True, slots=True)
class Limited:
    """A `zotpy.auth.permission.Permission` within the access of a token."""

    permission: Permission
    access: Access | KeyScopes
    is_open = False
    rule = TOKEN

    @property
    def identity(self) -> Identity:
        """Who calls."""
        return self.permission.identity

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return if the caller may do this. Raises what the rules say, otherwise `ScopeInsufficient`.

        A client can get another token for what the rules permit. For what they do not permit it need not try.
        """
        self.permission.require(action, repo, reference)
        if not self.access.covers(action, repo):
            raise self._refusal(action, "" if repo is None else f" in {repo}")

    def _refusal(self, action: Action, where: str) -> RegistryError:
        msg = f"the token is not good for this: get one for the action {action}{where}, which the challenge names"
        return ScopeInsufficient(msg)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether the caller may do this."""
        return self.access.covers(action, repo) and self.permission.allows(action, repo, reference)

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag is immutable for the caller."""
        return self.permission.is_fixed(action, repo, tag)

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say whether the caller must not delete a manifest by its digest if several tags name it."""
        return self.permission.detects_collisions(repo)

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name the rule that decides this, which may be the access of the token."""
        return self.permission.rule_of(action, repo, reference) if self.access.covers(action, repo) else self.rule


class Keyed(Limited):
    """The same within the scopes of an API key. No login gets more out of the same key, so the answer is 403."""

    __slots__ = ()
    rule = "the scopes of the API key"

    def _refusal(self, action: Action, where: str) -> RegistryError:
        if action is Action.KEYS:
            return Denied("an API key cannot manage API keys: log in by something else")
        return Denied(f"the scopes of this API key do not cover the action {action}{where}: use another key")
