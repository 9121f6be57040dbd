"""The file of users and hashes, `http.auth.htpasswd.path`. It is read again when it changes.

Each line is `user:hash`. Lines without a colon, or with a `#` before it, mean nothing. The last line of a user counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from zotpy.auth.hashes import HashUnusable, PasswordHash
from zotpy.bell import Bell
from zotpy.watching import keep_looking, signature_of

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


class Htpasswd:
    """A file of users."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises `OSError`, `ValueError` if that cannot be done."""
        self._file = file
        self._seen = signature_of(file)
        self.users = _read(file)
        _tell(file, self.users)

    async def keep_current(self, bell: Bell) -> None:
        """Read the file again when it has changed, until cancelled. See `zotpy.watching`."""
        await keep_looking(self.look, bell)

    async def look(self) -> None:
        """Use what the file says now. If it cannot be read, this is logged once, and the users stay as they were."""
        signature = await trio.to_thread.run_sync(signature_of, self._file)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self.users = await trio.to_thread.run_sync(_read, self._file)
        except (OSError, ValueError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            log.error("htpasswd_not_reloaded", reason=reason, file=str(self._file))  # noqa: TRY400 - a matter of the file
        else:
            log.info("htpasswd_reloaded", users=len(self.users.hashes), file=str(self._file))
            _tell(self._file, self.users)


def _read(file: Path) -> Users:
    with file.open("rb") as opened:
        content = opened.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        msg = f"the file is longer than {LARGEST_FILE_BYTES // 1024 // 1024} MiB"
        raise ValueError(msg)
    try:
        return Users.parse(content.decode())
    except UnicodeDecodeError as error:
        msg = "the file is not UTF-8"
        raise ValueError(msg) from error


def _tell(file: Path, users: Users) -> None:
    """Log which users cannot log in: at most a few, since a file may have thousands of them."""
    for name, reason in list(users.unusable.items())[:10]:
        log.warning("htpasswd_user_refused", user=name, reason=reason, file=str(file))
    if not users.hashes:
        log.warning("htpasswd_has_no_users", file=str(file), reason="nobody can log in")
