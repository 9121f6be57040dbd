"""The rules of `http.accessControl`: what decides about one action of one caller in one repository.

Of all patterns that match the name of a repository, the longest one counts, and only that one. Its policies, its
`defaultPolicy` for those who have logged in and its `anonymousPolicy` for those who have not are asked in this order.
What none of them grants, the `adminPolicy` may still grant, in every repository. No action implies another.
"""

from collections import defaultdict
from functools import lru_cache

from zotpy.auth.actions import Action
from zotpy.auth.decision import Decision, Grantor
from zotpy.auth.permission import Identity
from zotpy.settings import AccessSettings, GrantSettings, RuleSettings

REMEMBERED = 4096
"""For how many names of repositories a replica remembers which pattern counts."""
ON_REPOSITORIES = frozenset({Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE})
"""What policies grant."""


class Policies:
    """All rules of a replica. They never change, so a reload makes others."""

    def __init__(self, settings: AccessSettings) -> None:
        self.settings = settings
        groups = defaultdict[str, set[str]](set)
        for group, users in settings.groups.items():
            for user in users:
                groups[user].add(group)
        self._groups = {user: frozenset(those) for user, those in groups.items()}
        grants = [settings.admin, *(each for rule in settings.rules for each in rule.policies)]
        self.named_groups = frozenset(group for grant in grants for group in grant.groups)
        """All groups that a rule names."""
        self.rule_of = lru_cache(REMEMBERED)(self._rule_of)
        """Return the rule of the longest pattern that matches the name of a repository; `None`: none does."""

    def _rule_of(self, name: str) -> RuleSettings | None:
        return next((rule for rule in self.settings.rules if rule.names.match(name)), None)

    def groups_of(self, identity: Identity) -> frozenset[str]:
        """Return the groups of a caller: those that the login gave, and those of `accessControl.groups`."""
        return identity.groups | self._groups.get(identity.name, frozenset())

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:
        """Decide about one of `ON_REPOSITORIES` in the repository with this name."""
        rule = self.rule_of(name)
        pattern = None if rule is None else rule.pattern
        if rule is not None:
            if identity.name:
                groups = self.groups_of(identity)
                for index, policy in enumerate(rule.policies):
                    if action in policy.actions and _concerns(policy, identity, groups):
                        return Decision(Grantor.POLICY, pattern, index)
                if action in rule.default:
                    return Decision(Grantor.DEFAULT, pattern)
            elif action in rule.anonymous:
                return Decision(Grantor.ANONYMOUS, pattern)
        if self.is_admin(identity, action):
            return Decision(Grantor.ADMIN, pattern)
        return Decision(None, pattern)

    def is_admin(self, identity: Identity, action: Action) -> bool:
        """Say whether the `adminPolicy` grants an action, in every repository."""
        admin = self.settings.admin
        return bool(identity.name) and action in admin.actions and _concerns(admin, identity, self.groups_of(identity))

    def is_immutable(self, name: str, tag: str) -> bool:
        """Say whether only the `adminPolicy` lets anybody move or delete a tag of the repository with this name."""
        rule = self.rule_of(name)
        return rule is not None and tag in rule.immutable

    def may_read_metrics(self, identity: Identity) -> bool:
        """Say whether a caller may scrape the metrics. Neither the `adminPolicy` nor any other rule grants that."""
        if identity.name:
            return identity.name in self.settings.metrics_users
        return self.settings.has_open_metrics

    @property
    def admits_anonymous(self) -> bool:
        """Say whether callers that have not logged in may do anything in any repository."""
        return any(rule.anonymous for rule in self.settings.rules)


def _concerns(grant: GrantSettings, identity: Identity, groups: frozenset[str]) -> bool:
    return identity.name in grant.users or not grant.groups.isdisjoint(groups)
