"""What was decided about an action, and by which rule."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Grantor(StrEnum):
    """The kinds of rules that can grant an action, as the configuration calls them."""

    POLICY = "policies"
    DEFAULT = "defaultPolicy"
    ANONYMOUS = "anonymousPolicy"
    ADMIN = "adminPolicy"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. Without a `grantor` it is a refusal, because no rule grants the action."""

    grantor: Grantor | None
    pattern: str | None
    """The pattern that counts for the repository; `None`: no pattern matches its name."""
    index: int | None = None
    """Which of the pattern's policies granted it, from 0."""
    reason: str = ""
    """For a refusal, the message of the condition that was in the way; empty: none has one."""
    conditions: str = ""
    """For a refusal, the path of the policy that would grant it without its conditions; empty: none would."""

    @property
    def is_allowed(self) -> bool:
        """Say whether the caller may do it."""
        return self.grantor is not None

    @property
    def rule(self) -> str:
        """Name the rule by its path in the configuration.

        For a refusal it is the policy whose conditions were in the way, otherwise the pattern, if one matches.
        """
        if self.conditions:
            return self.conditions
        if self.grantor is Grantor.ADMIN:
            return "http.accessControl.adminPolicy"
        if self.pattern is None:
            return "http.accessControl.repositories"
        path = f"http.accessControl.repositories[{self.pattern}]"
        if self.grantor is None:
            return path
        return f"{path}.{self.grantor}" + ("" if self.index is None else f"[{self.index}]")

    def because(self, granted: "Decision", reason: str) -> "Decision":
        """Return this refusal with a decision that conditions were in the way of, and their message if they have one.

        Of several such decisions a later one counts if it has a message.
        """
        if self.conditions and not reason:
            return self
        return replace(self, reason=reason, conditions=granted.rule)
