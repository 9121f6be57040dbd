"""What a request's Authorization header says."""

from __future__ import annotations

import base64

import pytest

from zotpy.auth.basic import LONGEST_NAME_BYTES, Bearer, Credentials, challenge, read_authorization
from zotpy.core.errors import Unauthorized


def basic(text: bytes) -> str:
    """Write the header of a name and a password."""
    return f"Basic {base64.b64encode(text).decode()}"


@pytest.mark.parametrize(
    ("header", "name", "password"),
    [
        (basic(b"alice:secret"), "alice", b"secret"),
        (basic(b"alice:a:b:"), "alice", b"a:b:"),
        (basic("älice:ß".encode()), "älice", "ß".encode()),
        (basic(b"alice:\xff"), "alice", b"\xff"),
        (basic(b"alice:"), "alice", b""),
        (basic(b":secret"), "", b"secret"),
        (basic(b"alice:secret").replace("Basic ", "basic   "), "alice", b"secret"),
    ],
)
def test_names_and_passwords_are_read(header: str, name: str, password: bytes) -> None:
    """The first colon ends the name. The password may be any bytes."""
    assert read_authorization([header]) == Credentials(name, password)


def test_a_caller_without_credentials_is_nobody() -> None:
    """Podman and skopeo send an empty name and password if they have none."""
    assert read_authorization([]) is None
    assert read_authorization(["Basic Og=="]) is None


@pytest.mark.parametrize(
    "headers",
    [
        [basic(b"alice:secret"), basic(b"alice:secret")],
        *(["", "Basic"], ["Basic", "Basic"]),
        *([header] for header in ("", "Basic", "Basic ", "Basic ?", "Basic ä", "Digest x", "Basic Og")),
        [basic(b"no colon")],
        [basic(b"\xff:secret")],
        [basic(b"x" * (LONGEST_NAME_BYTES + 1) + b":secret")],
    ],
)
def test_other_headers_are_refused(headers: list[str]) -> None:
    """A request that says who makes it must say so once, in words that can be read."""
    with pytest.raises(Unauthorized):
        read_authorization(headers)


def test_a_token_is_read() -> None:
    """The scheme is written in any case, and the token is not looked at. It is not shown either."""
    assert read_authorization(["Bearer eyJh.b_c-"]) == Bearer("eyJh.b_c-")
    assert read_authorization(["bearer   x"]) == Bearer("x")
    assert read_authorization(["Bearer"]) == Bearer("")
    assert "secret" not in repr(Bearer("secret"))


def test_the_realm_is_quoted() -> None:
    """A realm cannot end its own quotes (RFC 9110, section 11.2)."""
    assert challenge('My "own" \\ registry') == 'Basic realm="My \\"own\\" \\\\ registry"'


def test_credentials_do_not_show_the_password() -> None:
    """What is logged of them by mistake has no secret."""
    assert "secret" not in repr(Credentials("alice", b"secret"))
