"""The header `Authorization`: a name and a password (Basic, RFC 7617), or a token (Bearer, RFC 6750)."""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

from zotpy.core.errors import Unauthorized

LONGEST_NAME_BYTES = 256
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})


@dataclass(slots=True)  # not frozen: that would take each request some time
class Credentials:
    """A name and a password that nobody has checked yet."""

    name: str
    password: bytes = field(repr=False)
    client: str = field(default="", compare=False)
    """The IP address of the client that sends them; empty if it is unknown."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that nobody has checked yet (RFC 6750)."""

    token: str = field(repr=False)


def challenge(realm: str) -> str:
    """Write what asks a client to log in."""
    return f"Basic realm={quoted(realm)}"


def quoted(text: str) -> str:
    """Write a text as a quoted string of a header (RFC 9110, section 5.6.4): it cannot end its own quotes."""
    return f'"{text.translate(_QUOTED)}"'


def read_authorization(headers: Sequence[str], client: str = "") -> Credentials | Bearer | None:
    """Read all `Authorization` headers of a request of a client. `None`: the client has not said who they are.

    podman and skopeo send an empty name with an empty password if they have none. Raises `Unauthorized`.
    """
    if not headers:
        return None
    if len(headers) > 1:
        msg = "the request has more than one Authorization header: send one"
        raise Unauthorized(msg)
    scheme, _, encoded = headers[0].strip().partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return Bearer(encoded.strip())
    if scheme == "basic":
        return _credentials(encoded.strip(), client)
    msg = "the Authorization header is of an unknown scheme: log in with a name and a password, or with a token"
    raise Unauthorized(msg)


def _credentials(encoded: str, client: str) -> Credentials | None:
    try:
        name, colon, password = binascii.a2b_base64(encoded, strict_mode=True).partition(b":")
        decoded = name.decode()
    except ValueError as error:
        raise _not_readable() from error
    if not colon or len(name) > LONGEST_NAME_BYTES:
        raise _not_readable()
    return Credentials(decoded, password, client) if name or password else None


def _not_readable() -> Unauthorized:
    return Unauthorized("the Authorization header cannot be read: log in again")
