"""The file of users and hashes, `http.auth.htpasswd.path`. It is read again when it changes.

Each line is `user:hash`. Lines without a colon, or with a `#` before it, mean nothing. The last line of a user counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from zotpy.auth.hashes import HashUnusable, PasswordHash
from zotpy.files import read_bounded
from zotpy.watching import Watched, reason_of

LARGEST_FILE_BYTES = 4 * 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Users:
    """What a file says: the hash of each user."""

    hashes: Mapping[str, PasswordHash]
    unusable: Mapping[str, str]
    """Users who cannot log in, each with the reason."""

    @classmethod
    def parse(cls, text: str) -> "Users":
        """Read the lines of a file."""
        hashes: dict[str, PasswordHash] = {}
        unusable: dict[str, str] = {}
        for line in text.splitlines():
            name, colon, written = line.strip().partition(":")
            if not colon or not name or name.startswith("#"):  # else a line that was taken out has a user named #alice
                continue
            hashes.pop(name, None)
            unusable.pop(name, None)
            try:
                hashes[name] = PasswordHash.parse(written)
            except HashUnusable as error:
                unusable[name] = str(error)
        return cls(hashes, unusable)


class Htpasswd(Watched[Users]):
    """A file of users."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises `OSError`, `ValueError` if that cannot be done."""
        super().__init__([file], partial(read_users, file))
        self._file = file
        _tell(file, self.users)

    @property
    def users(self) -> Users:
        """What the file says now."""
        return self.latest

    def on_renewed(self) -> None:
        """Log it."""
        log.info("htpasswd_reloaded", users=len(self.users.hashes), file=str(self._file))
        _tell(self._file, self.users)

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Log it: the users stay as they were."""
        log.error("htpasswd_not_reloaded", reason=reason_of(error), file=str(self._file))


def read_users(file: Path) -> Users:
    """Read a file. Raises `OSError`, `ValueError`."""
    try:
        return Users.parse(read_bounded(file, LARGEST_FILE_BYTES).decode())
    except UnicodeDecodeError as error:
        msg = "the file is not UTF-8"
        raise ValueError(msg) from error


def _tell(file: Path, users: Users) -> None:
    """Log which users cannot log in: at most a few, since a file may have thousands of them."""
    for name, reason in list(users.unusable.items())[:10]:
        log.warning("htpasswd_user_refused", user=name, reason=reason, file=str(file))
    if not users.hashes:
        log.warning("htpasswd_has_no_users", file=str(file), reason="nobody can log in")
