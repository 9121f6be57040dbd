"""What callers may do under the rules that hold now, which a reload replaces."""

from zotpy.auth.granted import Granted, Unruled
from zotpy.auth.limited import Keyed, Limited
from zotpy.auth.permission import Identity, Nothing, Permission, Unrestricted
from zotpy.auth.policy import Policies
from zotpy.settings import AccessSettings


def everything_to_users(identity: Identity) -> Permission:
    """Let every user do everything, and nobody else anything: so it is if there are logins and no rules."""
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

    def __call__(self, identity: Identity) -> Permission:
        """Say what a caller may do."""
        if identity.access is not None:
            rules = self._by_token(identity) if identity.access.is_final else self._by_rules(identity)
            return Limited(rules, identity.access)
        if identity.scopes is not None:
            return Keyed(self._by_rules(identity), identity.scopes)
        return self._by_rules(identity)

    def _by_token(self, identity: Identity) -> Permission:
        """Ask no rule about a token whose access is final, but for immutable tags."""
        return Unrestricted(identity) if self._policies is None else Unruled(self._policies, identity)

    def _by_rules(self, identity: Identity) -> Permission:
        if self._policies is not None:
            return Granted(self._policies, identity)
        return everything_to_users(identity)

    def counting(self, groups: frozenset[str]) -> frozenset[str]:
        """Return which of these groups the rules name. A token need not carry the others."""
        return frozenset() if self._policies is None else groups & self._policies.named_groups


def _policies(access: AccessSettings | None) -> Policies | None:
    return None if access is None else Policies(access)
