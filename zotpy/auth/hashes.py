"""Hashes of passwords, as `htpasswd`, `mkpasswd` and `argon2` write them, and whether a password has one.

Such a check takes long on purpose, so it is a matter for a thread. bcrypt and argon2 leave the interpreter to others
meanwhile. SHA-crypt is computed by Python itself, so it slows down other work of the process.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_BCRYPT_ROUNDS = 15
"""As a power of two. Each one more doubles the time, and 15 take some seconds."""
MOST_SHA_ROUNDS = 1_000_000
MOST_ARGON2_KIB = 256 * 1024
MOST_ARGON2_PASSES = 64
MOST_ARGON2_LANES = 64
"""Each takes a thread."""
LONGEST_PASSWORD_BYTES = 1024
"""No longer password is looked at: the work of SHA-crypt grows with the square of the length."""
_BCRYPT_BYTES = 72
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[1-9]\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
"""The last sign of the salt has two bits of it, and the others are 0."""
_SHA_CRYPT = re.compile(r"\$([56])\$(?:rounds=(\d{1,9})\$)?[^$:\s]{0,16}\$[./A-Za-z0-9]{43,86}", re.ASCII)
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$(?:v=\d{1,3}\$)?m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,3})\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+", re.ASCII
)
Check = Callable[[str, bytes], bool]


class HashUnusable(ValueError):
    """The text is no hash that this registry checks. Its words never repeat the text."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """One hash with its salt and its cost."""

    text: str = field(repr=False)
    _check: Check

    @classmethod
    def parse(cls, text: str) -> "PasswordHash":
        """Read a hash. Raises `HashUnusable`."""
        if (found := _BCRYPT.fullmatch(text)) is not None:
            _bound(int(found[1]), MOST_BCRYPT_ROUNDS, "its cost")
            return cls(text, _check_bcrypt)
        if (found := _SHA_CRYPT.fullmatch(text)) is not None:
            _bound(int(found[2] or 0), MOST_SHA_ROUNDS, "its number of rounds")
            return cls(text, _check_sha_crypt)
        if (found := _ARGON2.fullmatch(text)) is not None:
            _bound(int(found[1]), MOST_ARGON2_KIB, "its memory in KiB")
            _bound(int(found[2]), MOST_ARGON2_PASSES, "its number of passes")
            _bound(int(found[3]), MOST_ARGON2_LANES, "its number of lanes")
            return cls(text, _check_argon2)
        msg = "this is no hash of bcrypt, SHA-256-crypt, SHA-512-crypt or argon2: make one with `htpasswd -B`"
        raise HashUnusable(msg)

    @property
    def holds_interpreter(self) -> bool:
        """Say whether a check holds Python's lock most of the time, so that other threads wait for it."""
        return self._check is _check_sha_crypt

    def fits(self, password: bytes) -> bool:
        """Say whether the password has this hash. It takes as long as the hash asks for, so call it in a thread."""
        return self._check(self.text, password[:LONGEST_PASSWORD_BYTES]) and len(password) <= LONGEST_PASSWORD_BYTES


def _bound(value: int, most: int, what: str) -> None:
    if value > most:
        msg = f"{what} is {value}, and this registry checks hashes of at most {most}"
        raise HashUnusable(msg)


def _check_bcrypt(text: str, password: bytes) -> bool:
    """Check a password. One that is longer than bcrypt can see fits nothing: the library raises if it gets one."""
    import bcrypt  # noqa: PLC0415 - only registries with such hashes need it

    try:
        return bool(bcrypt.checkpw(password[:_BCRYPT_BYTES], text.encode())) and len(password) <= _BCRYPT_BYTES
    except ValueError:  # a hash that the library does not take
        return False


def _check_sha_crypt(text: str, password: bytes) -> bool:
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt  # noqa: PLC0415 - as above

    handler = sha256_crypt if text.startswith("$5$") else sha512_crypt
    try:
        return bool(handler.verify(password, text))
    except ValueError:  # a zero byte, which such a password cannot have; or a hash that is cut short
        return False


def _check_argon2(text: str, password: bytes) -> bool:
    from argon2 import PasswordHasher  # noqa: PLC0415 - as above
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    try:
        return bool(PasswordHasher().verify(text, password))
    except (InvalidHashError, VerificationError, ValueError):
        return False
