"""The questions that a request asks of access control. Without access control each answer is yes."""

from dataclasses import dataclass, field
from typing import Protocol

from zotpy.auth.actions import Action
from zotpy.auth.claims import NO_CLAIMS, Claims
from zotpy.auth.key_scopes import KeyScopes
from zotpy.auth.scopes import Access
from zotpy.core.errors import Denied, Unauthorized
from zotpy.core.names import RepositoryName, Tag

_READING = frozenset({Action.CONNECT, Action.READ, Action.METRICS})
EVERYTHING_TO_USERS = "http.auth"
"""Without `http.accessControl` the logins alone decide."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls."""

    name: str = ""
    """Empty if the caller has not said who they are."""
    groups: frozenset[str] = frozenset()
    """Groups that the login says they are in. Those of `accessControl.groups` are not among them."""
    kind: str = ""
    """How the caller is known, such as `htpasswd`; empty if they are not."""
    access: Access | None = None
    """What the caller's token is good for; `None`: the caller has shown no token, so the rules alone decide."""
    scopes: KeyScopes | None = None
    """What the caller's API key is good for; `None`: the caller has shown no API key."""
    key: str = ""
    """The id of the caller's API key, which is no secret; empty: the caller has shown none."""
    claims: Claims = field(default=NO_CLAIMS, compare=False, repr=False)
    """What else the login says of the caller, as far as settings read it."""
    has_all_groups: bool = True
    """Whether `groups` are all that the login said. A token may carry only those that the rules name."""
    is_job: bool = False
    """Whether a token of a CI job says who calls: such a login ends with the job."""
    can_log_in: bool = True
    """Whether there is any way to log in, for a caller who has not."""


class Permission(Protocol):
    """What the caller of one request may do."""

    @property
    def identity(self) -> Identity:
        """Who calls."""
        ...

    @property
    def is_open(self) -> bool:
        """Say whether every caller may do everything.

        If so, nothing needs to be looked up only to ask for a permission.
        """
        ...

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return if the caller may do this. Raises a `RegistryError` that says why not, and how to log in.

        `reference` is the tag, digest or upload that the path names, as it was written there.
        """
        ...

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether the caller may do this.

        A handler asks so for what it can do without, such as the repositories of a list.
        """
        ...

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say whether a tag, if it exists, is immutable for the caller as far as `UPDATE` or `DELETE` is concerned."""
        ...

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say whether the caller must not delete a manifest by its digest if several tags name it."""
        ...

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name the rule that decides this, by its path in the configuration; empty if there are no rules."""
        ...


@dataclass(frozen=True, slots=True)
class Unrestricted:
    """Permission to do everything, for every caller who comes this far."""

    identity: Identity = field(default_factory=Identity)
    is_open = True

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return."""

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say yes."""
        del action, repo, reference
        return True

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say no."""
        del action, repo, tag
        return False

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say no."""
        del repo
        return False

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name what lets users do everything, if callers log in at all."""
        del action, repo, reference
        return EVERYTHING_TO_USERS if self.identity.name else ""


class _Closed:
    """What all permissions answer that allow nothing."""

    __slots__ = ()
    is_open = False

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say no."""
        del action, repo, reference
        return False

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say yes."""
        del action, repo, tag
        return True

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say yes."""
        del repo
        return True


@dataclass(frozen=True, slots=True)
class Nothing(_Closed):
    """Permission to do nothing, for a caller who has to log in first."""

    identity: Identity = field(default_factory=Identity)

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Raise `Unauthorized`."""
        del action, repo, reference
        msg = "log in: this registry lets nobody in without a login"
        raise Unauthorized(msg)

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name what lets only users do anything."""
        del action, repo, reference
        return EVERYTHING_TO_USERS


@dataclass(frozen=True, slots=True)
class ReadOnly(_Closed):
    """Permission to pull, for callers of a mirror whose primary has said that they may."""

    identity: Identity = field(default_factory=Identity)

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Return, or raise `Denied`."""
        del repo, reference
        if action not in _READING:
            msg = "this registry only mirrors its primary: use the primary for this"
            raise Denied(msg)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether it is part of a pull."""
        del repo, reference
        return action in _READING

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name what makes the primary decide."""
        del action, repo, reference
        return "extensions.sync.registries"


class Unasked(_Closed):
    """What a handler has whose row asks nobody who they are: it may ask for nothing."""

    identity = Identity()

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Raise `RuntimeError`: the row of an endpoint that asks for something must say so."""
        del repo, reference
        msg = f"an endpoint asks for {action}, and its row does not say that it needs anything"
        raise RuntimeError(msg)

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name none."""
        del action, repo, reference
        return ""


UNRESTRICTED: Permission = Unrestricted()
UNASKED: Permission = Unasked()
