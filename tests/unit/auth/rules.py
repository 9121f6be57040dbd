"""Access control from the words of a configuration, for tests."""

from __future__ import annotations

from zotpy.auth.permission import Identity
from zotpy.auth.policy import Policies
from zotpy.config.access import read_access_control

ANONYMOUS = Identity()
ALICE = Identity("alice", kind="htpasswd")
BOB = Identity("bob", kind="htpasswd")


def policies(**section: object) -> Policies:
    """Read a section `accessControl`."""
    return Policies(read_access_control(section))


def grant(actions: str, users: str = "", groups: str = "") -> dict[str, list[str]]:
    """Return a policy; the words of each list stand in one text."""
    return {"users": users.split(), "groups": groups.split(), "actions": actions.split()}
