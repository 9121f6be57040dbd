"""The rules of `http.accessControl`: what decides about one action of one caller in one repository.

Of all patterns that match the name of a repository, the longest one counts, and only that one. Its policies, its
`defaultPolicy` for those who have logged in and its `anonymousPolicy` for those who have not are asked in this order.
What none of them grants, the `adminPolicy` may still grant, in every repository. No action implies another. A policy
with conditions grants only what all of them allow (`zotpy.auth.conditions`).
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from zotpy.auth.actions import Action
from zotpy.auth.claims import Names, joined
from zotpy.auth.conditions import UNJUDGED, Circumstances, Condition, Noted
from zotpy.auth.decision import Decision, Grantor
from zotpy.auth.permission import Identity
from zotpy.auth.request_variables import Question
from zotpy.cel.environments import of_request
from zotpy.settings import AccessSettings, ConditionSettings, GrantSettings, RuleSettings

REMEMBERED = 4096
"""For how many names of repositories a replica remembers which pattern counts, and how many decisions it remembers."""
ON_REPOSITORIES = frozenset({Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE})
"""What policies grant."""


class Policies:
    """All rules of a replica. They never change, so a reload makes others."""

    def __init__(self, settings: AccessSettings) -> None:
        """Compile the conditions. Raises `ValueError`, `ModuleNotFoundError` if one cannot be compiled."""
        self.settings = settings
        groups = defaultdict[str, set[str]](set)
        for group, users in settings.groups.items():
            for user in users:
                groups[user].add(group)
        self._groups = {user: frozenset(those) for user, those in groups.items()}
        grants = [settings.admin, *(each for rule in settings.rules for each in rule.policies)]
        self.named_groups = frozenset(group for grant in grants for group in grant.groups)
        """All groups that a rule names."""
        self._compiled = {each.conditions: _compiled(each.conditions) for each in grants if each.conditions}
        every = [condition for conditions in self._compiled.values() for condition in conditions]
        self.named_claims: Names = joined(each.expression.fields_of("req.claims") for each in every)
        """All claims that a condition reads."""
        reads = {name for each in every for name in each.expression.variables}
        self.reads_groups = "req.user.groups" in reads or ("req.auth.admin" in reads and bool(settings.admin.groups))
        """Whether a condition reads which groups a user is in, with or without a name."""
        self.rule_of = lru_cache(REMEMBERED)(self._rule_of)
        """Return the rule of the longest pattern that matches the name of a repository; `None`: none does."""
        self.lasting = lru_cache(REMEMBERED)(self._lasting)
        """Return what these rules decide for a name, its groups, an action and a repository whenever it is asked.

        `None`: that depends on conditions, so it must not be remembered.
        """
        self._has_open_admin = settings.admin.actions >= ON_REPOSITORIES and not settings.admin.conditions

    def _rule_of(self, name: str) -> RuleSettings | None:
        return next((rule for rule in self.settings.rules if rule.names.match(name)), None)

    def groups_of(self, identity: Identity) -> frozenset[str]:
        """Return the groups of a caller: those that the login gave, and those of `accessControl.groups`."""
        return identity.groups | self._groups.get(identity.name, frozenset())

    def decide(
        self,
        identity: Identity,
        action: Action,
        name: str,
        reference: str = "",
        circumstances: Circumstances = UNJUDGED,
    ) -> Decision:
        """Decide about one of `ON_REPOSITORIES` in the repository with this name.

        `reference` is the tag or digest that it is about. `circumstances` judge the conditions of policies; without any
        no condition is fulfilled.
        """
        lasting = self.lasting(identity.name, identity.groups & self.named_groups, action, name)
        return lasting or self._decide(identity, action, name, reference, circumstances)

    def _lasting(self, user: str, groups: frozenset[str], action: Action, name: str) -> Decision | None:
        noted = Noted()
        decision = self._decide(Identity(user, groups), action, name, "", noted)
        return None if noted.was_asked else decision

    def _decide(
        self, identity: Identity, action: Action, name: str, reference: str, circumstances: Circumstances
    ) -> Decision:
        rule = self.rule_of(name)
        pattern = None if rule is None else rule.pattern
        asked = identity, action, name, reference
        refused = Decision(None, pattern)
        if rule is not None:
            if identity.name:
                groups = self.groups_of(identity)
                for index, policy in enumerate(rule.policies):
                    if action in policy.actions and _concerns(policy, identity, groups):
                        told = self._refuses(policy, circumstances, asked)
                        granted = Decision(Grantor.POLICY, pattern, index)
                        if told is None:
                            return granted
                        refused = refused.because(granted, told)
                if action in rule.default:
                    return Decision(Grantor.DEFAULT, pattern)
            elif action in rule.anonymous:
                return Decision(Grantor.ANONYMOUS, pattern)
        if action in self.settings.admin.actions and self._names_admin(identity):
            told = self._refuses(self.settings.admin, circumstances, asked)
            granted = Decision(Grantor.ADMIN, pattern)
            if told is None:
                return granted
            refused = refused.because(granted, told)
        return refused

    def is_admin(
        self,
        identity: Identity,
        action: Action,
        name: str = "",
        reference: str = "",
        circumstances: Circumstances = UNJUDGED,
    ) -> bool:
        """Say whether the `adminPolicy` grants an action, in every repository if it has no conditions."""
        if action not in self.settings.admin.actions or not self._names_admin(identity):
            return False
        return self._refuses(self.settings.admin, circumstances, (identity, action, name, reference)) is None

    def may_everything(self, identity: Identity) -> bool:
        """Say whether the `adminPolicy` grants a caller all actions in every repository, without conditions."""
        return self._has_open_admin and self._names_admin(identity)

    def _names_admin(self, identity: Identity) -> bool:
        """Say whether the `adminPolicy` names a caller, whatever it grants."""
        return bool(identity.name) and _concerns(self.settings.admin, identity, self.groups_of(identity))

    def _is_no_admin(self, identity: Identity) -> Literal[False] | None:
        """Return `None` if groups of the caller that are not known might be those of admins."""
        return False if identity.has_all_groups or not self.settings.admin.groups else None

    def _refuses(
        self, grant: GrantSettings, circumstances: Circumstances, asked: tuple[Identity, Action, str, str]
    ) -> str | None:
        """Return `None` if all conditions of a grant are fulfilled, otherwise the message of the one that is not."""
        if not grant.conditions:
            return None
        identity, action, name, reference = asked
        groups, is_admin = self.groups_of(identity), self._names_admin(identity) or self._is_no_admin(identity)
        question = Question(
            identity.name, groups, identity.claims, is_admin, action, name, reference, identity.has_all_groups
        )
        return circumstances.refuses(self._compiled[grant.conditions], question)

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


def _compiled(conditions: Sequence[ConditionSettings]) -> Sequence[Condition]:
    return tuple(Condition(of_request(each.expression), each.message) for each in conditions)
