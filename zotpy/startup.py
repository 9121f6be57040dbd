"""How a start begins and ends: with the limits of the system, and with an announcement or an error for a person."""

import resource
from contextlib import suppress

import structlog

from zotpy.config import ConfigError
from zotpy.release import commit, version
from zotpy.settings import LogSettings, Settings
from zotpy.telemetry.logs import configure_logs

log = structlog.get_logger()

MOST_FILES = 1 << 20


class StartupError(Exception):
    """The replica cannot start. The message says why and what to do."""


def open_log(settings: LogSettings) -> None:
    """Send events where the settings say, also when called again. Raises `ConfigError`, and then changes nothing."""
    try:
        configure_logs(settings.level, settings.format, settings.output)
    except OSError as error:
        raise ConfigError([f"log.output: {settings.output}: {error.strerror}"]) from error


def allow_many_files() -> None:
    """Open as many files as the system lets us, at most `MOST_FILES`: each client and each call to the store is one.

    Many systems begin with 1,024, for programs that use select(2), and let other programs ask for more.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):  # a system that names a higher limit than it gives
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def announce(settings: Settings, binds: list[str]) -> None:
    """Announce once that requests are answered at these URLs; print it for a person if the store is on this disk."""
    is_embedded = settings.storage.s3 is None
    log.info(
        "serving",
        listening=binds,
        store="embedded" if is_embedded else "s3",
        workers=settings.http.workers,
        version=version(),
        commit=commit(),
    )
    if is_embedded:
        where = binds[0].partition("://")[2]
        login = f"  docker login {where}\n" if settings.auth.has_login else ""
        with suppress(OSError):  # a replica serves, whether or not somebody reads this
            print(  # noqa: T201 - said to the person at the terminal
                f"\nzotpy is ready on {binds[0]} (data in {settings.storage.root_directory}). Try:\n\n"
                f"{login}"
                f"  podman push --tls-verify=false IMAGE {where}/IMAGE:latest\n"
                f"  docker push {where}/IMAGE:latest\n",
                flush=True,
            )
