"""What `http.accessControl` permits the caller of one request."""

from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.auth.conditions import HOPED, UNJUDGED, Circumstances, Listing
from zotpy.auth.decision import Decision
from zotpy.auth.permission import Identity
from zotpy.auth.policy import ON_REPOSITORIES, Policies
from zotpy.core.errors import Denied, RegistryError, Unauthorized
from zotpy.core.names import RepositoryName, Tag


@dataclass(slots=True)  # not frozen: that would take each request some time
class Granted:
    """The `zotpy.auth.permission.Permission` of a caller under policies."""

    policies: Policies
    identity: Identity
    circumstances: Circumstances = UNJUDGED

    @property
    def is_open(self) -> bool:
        """Say whether the caller may do everything everywhere, as an admin with all actions and no conditions may."""
        return self.policies.may_everything(self.identity)

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return if the caller may do this. Raises `Unauthorized` if they have not logged in, otherwise `Denied`."""
        if not self.allows(action, repo, reference):
            reason = "" if repo is None else self._decision(action, repo, reference).reason
            raise refusal(self.identity, action, repo, reason)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether the caller may do this.

        A push is allowed if the caller has one of the two actions that it may need. Which one it needs is known only
        when the tag is written: see `zotpy.web.push_rights`.
        """
        if repo is not None and action in ON_REPOSITORIES:  # what most requests ask
            return self.policies.decide(self.identity, action, repo.text, reference, self.circumstances).is_allowed
        if action in {Action.CONNECT, Action.CATALOG} and repo is None:
            return bool(self.identity.name) or self.policies.admits_anonymous
        if action is Action.KEYS:
            return bool(self.identity.name)
        if action is Action.METRICS:
            return self.policies.may_read_metrics(self.identity)
        return repo is not None and self._decision(action, repo, reference).is_allowed

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name the rule that decides this."""
        if action is Action.METRICS:
            return "http.accessControl.metrics"
        return "http.accessControl" if repo is None else self._decision(action, repo, reference).rule

    def _decision(self, action: Action, repo: RepositoryName, reference: str) -> Decision:
        """Return the decision that allows it, otherwise one that refuses it, with the reason of a condition if any."""
        decide, caller, name, circumstances = self.policies.decide, self.identity, repo.text, self.circumstances
        if action is Action.CATALOG:
            return decide(caller, Action.READ, name, reference, Listing(circumstances))
        if action is not Action.PUSH:
            return decide(caller, action, name, reference, circumstances)
        made = decide(caller, Action.CREATE, name, reference, circumstances)
        if made.is_allowed:
            return made
        moved = decide(caller, Action.UPDATE, name, reference, circumstances)
        return moved if moved.is_allowed or (moved.reason and not made.reason) else made

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag is immutable, and the `adminPolicy` does not grant the caller this action."""
        if not self.policies.is_immutable(repo.text, tag.text):
            return False
        return not self.policies.is_admin(self.identity, action, repo.text, tag.text, self.circumstances)

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say whether a rule grants the caller `detectManifestCollision`, whatever its conditions are.

        The action takes something away, so a condition that fails must not give it back.
        """
        return self.policies.decide(self.identity, Action.DETECT_COLLISION, repo.text, "", HOPED).is_allowed


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


def refusal(identity: Identity, action: Action, repo: RepositoryName | None, reason: str = "") -> RegistryError:
    """Return the error of a caller who may not do this. It tells nothing of the repository, nor of the rules.

    `reason` is the message that the operator has written for this case.
    """
    detail = {"action": str(action)} | ({} if repo is None else {"repository": repo.text})
    detail |= {"reason": reason} if reason else {}
    what = _WHAT[action] + ("" if repo is None else f" {repo}")
    if not identity.name and identity.can_log_in:
        return Unauthorized(f"log in to {what}", detail=detail)
    who, needed = identity.name or "an anonymous caller", _NEED.get(action, f"the action {action}")
    why = reason or f"ask the registry's operator for {needed}"
    return Denied(f"{who} may not {what}: {why}", detail=detail)


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
