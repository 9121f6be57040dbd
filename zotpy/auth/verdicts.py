"""What was decided while one request was answered, and by which rules."""

from dataclasses import dataclass, field

from zotpy.auth.actions import Action
from zotpy.auth.permission import Identity, Permission
from zotpy.core.errors import RegistryError
from zotpy.core.names import RepositoryName, Tag


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision about one action."""

    action: Action
    repository: str
    """Empty if the action is about no repository."""
    reference: str
    """The tag, digest or upload, as the request names it; empty if it names none."""
    rule: str
    """The rule that decided, by its path in the configuration; empty if there are no rules."""
    is_allowed: bool


@dataclass(slots=True)
class Witnessed:
    """A permission that notes what is required of it. What is only asked, as for each name of a list, it does not."""

    permission: Permission
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """Who calls."""
        return self.permission.identity

    @property
    def is_open(self) -> bool:
        """Say whether every caller may do everything."""
        return self.permission.is_open

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return if the caller may do this, otherwise raise what the permission raises. Either is noted."""
        try:
            self.permission.require(action, repo, reference)
        except RegistryError:
            self._note(action, repo, reference, is_allowed=False)
            raise
        self._note(action, repo, reference, is_allowed=True)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether the caller may do this."""
        return self.permission.allows(action, repo, reference)

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag, if it exists, is immutable for the caller."""
        return self.permission.is_fixed(action, repo, tag)

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say whether the caller must not delete a manifest by its digest if several tags name it."""
        return self.permission.detects_collisions(repo)

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name the rule that decides this."""
        return self.permission.rule_of(action, repo, reference)

    def _note(self, action: Action, repo: RepositoryName | None, reference: str, *, is_allowed: bool) -> None:
        rule, name = self.permission.rule_of(action, repo, reference), "" if repo is None else repo.text
        self.verdicts.append(Verdict(action, name, reference, rule, is_allowed))
