"""Hashes that other programs wrote, and texts that are no hash."""

from __future__ import annotations

import bcrypt
import pytest

from tests.unit.auth.hashed import BCRYPT, HASHES, PASSWORD
from zotpy.auth.hashes import LONGEST_PASSWORD_BYTES, HashUnusable, PasswordHash


@pytest.mark.parametrize("name", HASHES)
def test_a_hash_fits_its_password_alone(name: str) -> None:
    """Each kind of hash, as other programs write it, fits its password, and no other one."""
    read = PasswordHash.parse(HASHES[name])
    assert read.fits(PASSWORD)
    for other in (b"", PASSWORD[:-1], PASSWORD + b" ", PASSWORD + b"\0", PASSWORD * 20, b"\xff\xfe", b"\0"):
        assert not read.fits(other)


def test_what_bcrypt_cannot_see_of_a_password_counts() -> None:
    """A password of more than 72 bytes fits nothing, although bcrypt would look at 72 of them."""
    read = PasswordHash.parse(bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
    assert read.fits(b"x" * 72)
    assert not read.fits(b"x" * 73)


@pytest.mark.parametrize("salt", ["A" * 21 + sign for sign in "./09AOZaeuz"])
def test_a_hash_that_is_taken_can_be_checked(salt: str) -> None:
    """The library raises for some texts that look like hashes. None of them comes as far as a check."""
    try:
        read = PasswordHash.parse(f"$2b$04${salt}{'a' * 31}")
    except HashUnusable:
        return
    assert not read.fits(PASSWORD)


@pytest.mark.parametrize("name", HASHES)
def test_no_password_is_too_long_to_be_refused(name: str) -> None:
    """A password that nobody can have fits nothing, and raises nothing."""
    assert not PasswordHash.parse(HASHES[name]).fits(b"x" * (LONGEST_PASSWORD_BYTES + 1))


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "secret", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "$apr1$abcdefgh$Xj6qQ1D6G3Y0Gq4XWmF8R.", "$1$salt$x"),
        *("$2b$04$short", BCRYPT + "x", BCRYPT + "\n", "$2x" + BCRYPT[3:], "$5$salt$short", "$6$salt", "$argon2id$"),
        "$y$j9T$abc$def",
        *(BCRYPT.replace("$04$", "$03$"), BCRYPT.replace("$04$", "$00$"), "$2b$04$" + "z" * 53),
        "$argon2id$v=19$m=64,t=1,p=1$sält$hash",
    ],
)
def test_other_texts_are_no_hashes(text: str) -> None:
    """A text that is no hash, or one of a weak kind, is refused. The reason does not repeat it."""
    with pytest.raises(HashUnusable) as refused:
        PasswordHash.parse(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        BCRYPT.replace("$04$", "$16$"),
        "$6$rounds=1000001$salt$" + "a" * 86,
        "$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=64,t=65,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=640,t=1,p=65$c2FsdHNhbHQ$aGFzaGhhc2g",
    ],
)
def test_hashes_that_cost_too_much_are_refused(text: str) -> None:
    """A file cannot make a check take minutes, or all memory."""
    with pytest.raises(HashUnusable, match="at most"):
        PasswordHash.parse(text)


def test_a_hash_does_not_show_itself() -> None:
    """What is logged of a hash by mistake has no secret."""
    assert BCRYPT not in repr(PasswordHash.parse(BCRYPT))
