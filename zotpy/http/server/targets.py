"""The target of a request (RFC 9112, section 3.2), read before anything in it is decoded.

A balancer in front matches rules against the target, and the replica must see the same path. So the authority of a
whole URL is cut off while percent signs are still percent signs: in `http://h%2fx/v2/` no `/x` begins a path.
"""

import re
from dataclasses import dataclass

_WHOLE_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)", re.DOTALL)
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_SCHEMES = frozenset({b"http", b"https"})


class TargetInvalid(Exception):
    """The target has no form that a registry accepts. The message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for."""

    path: bytes
    """With its query, as it came. It begins with a slash, or is `*`."""
    authority: bytes | None = None
    """Host and port of a whole URL, which count instead of the Host header (section 3.2.2)."""


def read_target(target: bytes) -> Target:
    """Read the origin form, the absolute form, or `*`. Raises `TargetInvalid`."""
    if b"#" in target:
        msg = "the target of a request may not have a fragment: write # as %23"
        raise TargetInvalid(msg)
    if target.startswith(b"/") or target == b"*":
        return Target(target)
    whole = _WHOLE_URL.fullmatch(target)
    if whole is None:
        msg = "the target of a request must be a path that begins with /, or a whole URL"
        raise TargetInvalid(msg)
    scheme, authority, path = whole.groups()
    if scheme.lower() not in _SCHEMES:
        msg = "the target of a request is a URL of another scheme: use http or https"
        raise TargetInvalid(msg)
    if not _AUTHORITY.fullmatch(authority):
        msg = "the target of a request is a URL whose host is malformed: write a host name or an address, and a port"
        raise TargetInvalid(msg)
    return Target(path if path.startswith(b"/") else b"/" + path, authority)
