"""The file of users, as `zotpy verify` looks at it. A start reads it again, and logs the same."""

from collections.abc import Iterator

from zotpy.config import ConfigError
from zotpy.settings import Settings

_MOST_NAMED = 10


def remarks_on_users(settings: Settings) -> Iterator[str]:
    """Yield a warning for each user of the file who cannot log in, at most a few. Raises `ConfigError`."""
    file = settings.auth.htpasswd
    if file is None:
        return
    from zotpy.auth.htpasswd import read_users  # noqa: PLC0415 - what most configurations do without

    try:
        users = read_users(file)
    except (OSError, ValueError) as error:
        raise ConfigError([f"http.auth.htpasswd.path: {file} cannot be used: {error}"]) from None
    for name, reason in list(users.unusable.items())[:_MOST_NAMED]:
        yield f"http.auth.htpasswd.path: {name} cannot log in: {reason}"
    if not users.hashes:
        yield f"http.auth.htpasswd.path: {file} has no users: nobody can log in with it"
