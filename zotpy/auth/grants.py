"""What callers may do under the rules that hold now, which a reload replaces."""

from zotpy.auth.claims import Names
from zotpy.auth.conditions import Circumstances
from zotpy.auth.granted import Granted, Unruled
from zotpy.auth.limited import Keyed, Limited
from zotpy.auth.permission import Identity, Nothing, Permission, Unrestricted
from zotpy.auth.policy import Policies
from zotpy.settings import AccessSettings

LONGEST_GROUPS = 4096
"""Bytes, of groups that a token carries because a condition reads groups."""


def everything_to_users(identity: Identity, circumstances: Circumstances) -> Permission:
    """Let every user do everything, and nobody else anything: so it is if there are logins and no rules."""
    del circumstances
    return Unrestricted(identity) if identity.name else Nothing(identity)


class Grants:
    """Says what each caller may do. A request keeps the rules under which it began."""

    def __init__(self, access: AccessSettings | None) -> None:
        """`None`: no rules, so every user may do everything, and nobody else anything."""
        self._policies = _policies(access)

    def renew(self, access: AccessSettings | None) -> None:
        """Replace the rules."""
        self._policies = _policies(access)

    def is_immutable(self, name: str, tag: str) -> bool:
        """Say whether a tag of the repository with this name is immutable now."""
        return self._policies is not None and self._policies.is_immutable(name, tag)

    def __call__(self, identity: Identity, circumstances: Circumstances) -> Permission:
        """Say what a caller may do. `circumstances` judge the conditions of the rules."""
        rules = self._by_rules(identity, circumstances)
        if identity.access is not None:
            return Limited(self._by_token(identity) if identity.access.is_final else rules, identity.access)
        return rules if identity.scopes is None else Keyed(rules, identity.scopes)

    def _by_token(self, identity: Identity) -> Permission:
        """Ask no rule about a token whose access is final, but for immutable tags."""
        return Unrestricted(identity) if self._policies is None else Unruled(self._policies, identity)

    def _by_rules(self, identity: Identity, circumstances: Circumstances) -> Permission:
        if self._policies is not None:
            return Granted(self._policies, identity, circumstances)
        return everything_to_users(identity, circumstances)

    def counting(self, groups: frozenset[str]) -> frozenset[str]:
        """Return which of these groups the rules need to know. A token need not carry the others.

        They are those that policies name, and all if a condition reads groups. Too many for a token are not all.
        """
        if self._policies is None:
            return frozenset()
        if self._policies.reads_groups and sum(len(group.encode()) for group in groups) <= LONGEST_GROUPS:
            return groups
        return groups & self._policies.named_groups

    def named_claims(self) -> Names:
        """Return which claims the rules read; `None`: any. A token need not carry the others."""
        return frozenset() if self._policies is None else self._policies.named_claims


def _policies(access: AccessSettings | None) -> Policies | None:
    return None if access is None else Policies(access)
