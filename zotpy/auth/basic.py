"""The header `Authorization: Basic` (RFC 7617): what a client sends of a name and a password."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from zotpy.core.errors import Unauthorized

LONGEST_NAME_BYTES = 256
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password that nobody has checked yet."""

    name: str
    password: bytes = field(repr=False)


def challenge(realm: str) -> str:
    """Write what asks a client to log in."""
    return f'Basic realm="{realm.translate(_QUOTED)}"'


def read_credentials(headers: Sequence[str]) -> Credentials | None:
    """Read all `Authorization` headers of a request. `None`: the client has not said who they are.

    podman and skopeo send an empty name with an empty password if they have none. Raises `Unauthorized`.
    """
    if not headers:
        return None
    if len(headers) > 1:
        msg = "the request has more than one Authorization header: send one"
        raise Unauthorized(msg)
    scheme, _, encoded = headers[0].strip().partition(" ")
    if scheme.lower() != "basic":
        msg = "the Authorization header is not of the scheme Basic: log in with a name and a password"
        raise Unauthorized(msg)
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        decoded = name.decode()
    except ValueError as error:
        raise _not_readable() from error
    if not colon or len(name) > LONGEST_NAME_BYTES:
        raise _not_readable()
    return Credentials(decoded, password) if name or password else None


def _not_readable() -> Unauthorized:
    return Unauthorized("the Authorization header cannot be read: log in again")
