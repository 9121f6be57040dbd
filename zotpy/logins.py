"""From settings to what finds out who calls: the files of users, the checks of passwords, and the challenge."""

from dataclasses import dataclass
from functools import partial

from zotpy.auth.basic import challenge
from zotpy.auth.grants import Grants
from zotpy.auth.htpasswd import Htpasswd
from zotpy.auth.passwords import PasswordChecks
from zotpy.bell import Bell
from zotpy.services import Service
from zotpy.settings import Settings
from zotpy.startup import StartupError
from zotpy.web.dispatch import Admit, admit_everybody
from zotpy.web.login import Login


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in."""

    admit: Admit = admit_everybody
    challenge: str = ""
    """How a caller can log in; empty if nobody can."""
    services: tuple[Service, ...] = ()
    """Keep current what the door knows."""


def make_door(settings: Settings, bell: Bell, grants: Grants) -> Door:
    """Read the files of users. They are checked again every few seconds, and when the bell is rung.

    Raises `StartupError` if a file cannot be read.
    """
    auth = settings.auth
    if auth.htpasswd is None:
        return Door()
    try:
        htpasswd = Htpasswd(auth.htpasswd)
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        msg = f"http.auth.htpasswd.path: {auth.htpasswd} cannot be read: {reason}"
        raise StartupError(msg) from error
    checks = PasswordChecks(
        lambda: htpasswd.users, auth.checks_at_once, auth.checks_waiting, auth.remember_s, auth.fail_delay_s
    )
    watching = Service(partial(htpasswd.keep_current, bell))
    return Door(Login(checks, grants).admit, challenge(settings.http.realm), (watching,))
