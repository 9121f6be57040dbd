"""How callers say who they are: `http.auth`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Which logins there are, and what checking them may cost."""

    htpasswd: Path | None = None
    """The file of users and hashes of their passwords. `None`: nobody is asked who they are."""
    fail_delay_s: float = 0.0
    """How long the answer to wrong credentials is held back."""
    checks_at_once: int = 2
    """How many passwords are checked at the same time, each in a thread, 1 to 64."""
    checks_waiting: int = 256
    """How many logins may be checked or wait for that, and how many refusals may be held back, 1 to 10,000."""
    remember_s: float = 300.0
    """How long a good password is remembered; 0: not at all."""

    @property
    def has_login(self) -> bool:
        """Say whether there is any way to log in. Without one everybody may do everything."""
        return self.htpasswd is not None
