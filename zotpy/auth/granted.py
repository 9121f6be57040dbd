"""What `http.accessControl` permits the caller of one request."""

from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.auth.permission import Identity
from zotpy.auth.policy import ON_REPOSITORIES, Policies
from zotpy.core.errors import Denied, RegistryError, Unauthorized
from zotpy.core.names import RepositoryName, Tag


@dataclass(frozen=True, slots=True)
class Granted:
    """The `zotpy.auth.permission.Permission` of a caller under policies."""

    policies: Policies
    identity: Identity

    @property
    def is_open(self) -> bool:
        """Say whether the caller may do everything everywhere, as an admin with all actions may."""
        return all(self.policies.is_admin(self.identity, action) for action in ON_REPOSITORIES)

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return if the caller may do this. Raises `Unauthorized` if they have not logged in, otherwise `Denied`."""
        if not self.allows(action, repo, reference):
            raise refusal(self.identity, action, repo)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether the caller may do this.

        A push is allowed if the caller has one of the two actions that it may need. Which one it needs is known only
        when the tag is written: see `zotpy.web.push_rights`.
        """
        del reference
        if action is Action.CATALOG and repo is not None:
            action = Action.READ
        if action in {Action.CONNECT, Action.CATALOG}:
            return bool(self.identity.name) or self.policies.admits_anonymous
        if action is Action.KEYS:
            return bool(self.identity.name)
        if action is Action.METRICS:
            return self.policies.may_read_metrics(self.identity)
        if repo is None:
            return False
        return any(self.policies.decide(self.identity, each, repo.text).is_allowed for each in _asked(action))

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name the rule that decides this."""
        del reference
        if action is Action.METRICS:
            return "http.accessControl.metrics"
        if repo is None:
            return "http.accessControl"
        decisions = [self.policies.decide(self.identity, each, repo.text) for each in _asked(action)]
        return next((each for each in decisions if each.is_allowed), decisions[0]).rule

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag is immutable, and the `adminPolicy` does not grant the caller this action."""
        return self.policies.is_immutable(repo.text, tag.text) and not self.policies.is_admin(self.identity, action)

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say whether a rule grants the caller `detectManifestCollision`."""
        return self.policies.decide(self.identity, Action.DETECT_COLLISION, repo.text).is_allowed


def _asked(action: Action) -> tuple[Action, ...]:
    return (Action.CREATE, Action.UPDATE) if action is Action.PUSH else (action,)


@dataclass(frozen=True, slots=True)
class Unruled:
    """The `zotpy.auth.permission.Permission` of a caller whom no policy limits. Immutable tags are so for them, too."""

    policies: Policies
    identity: Identity
    is_open = False

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return."""

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say yes."""
        del action, repo, reference
        return True

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Return nothing: no rule decides."""
        del action, repo, reference
        return ""

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag is immutable. A token is no admin."""
        del action
        return self.policies.is_immutable(repo.text, tag.text)

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say no."""
        del repo
        return False


def refusal(identity: Identity, action: Action, repo: RepositoryName | None) -> RegistryError:
    """Return the error of a caller who may not do this. It tells nothing of the repository, nor of the rules."""
    detail = {"action": str(action)} | ({} if repo is None else {"repository": repo.text})
    what = _WHAT[action] + ("" if repo is None else f" {repo}")
    if not identity.name and identity.can_log_in:
        return Unauthorized(f"log in to {what}", detail=detail)
    who, needed = identity.name or "an anonymous caller", _NEED.get(action, f"the action {action}")
    return Denied(f"{who} may not {what}: ask the registry's operator for {needed}", detail=detail)


_WHAT = {
    Action.READ: "read",
    Action.CREATE: "create content in",
    Action.UPDATE: "update tags in",
    Action.DELETE: "delete from",
    Action.DETECT_COLLISION: "detect collisions in",
    Action.PUSH: "push to",
    Action.CONNECT: "use this registry",
    Action.CATALOG: "list the repositories",
    Action.METRICS: "read the metrics",
    Action.KEYS: "manage API keys",
    Action.ADMIN: "administer this registry",
}
_NEED = {Action.PUSH: "the action create or update", Action.METRICS: "a place in metrics.users"}
