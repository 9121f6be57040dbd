"""What SIGHUP does: reopen the log's file, read its level and `http.accessControl` anew, check the certificate.

Everything else in the configuration needs a restart, and the log names the sections that wait for one.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace

import structlog
import trio

from zotpy.config import ConfigError, load_settings
from zotpy.settings import LogSettings, Settings
from zotpy.startup import open_log
from zotpy.telemetry.logs import at_every_level

TERMINAL = "/dev/tty"

log = structlog.get_logger()


async def keep_reloading(settings: Settings, then: Callable[[Settings], Awaitable[None]]) -> None:
    """Reload at each SIGHUP, until cancelled. `then` is called with the settings that hold from now on.

    A closed terminal sends the same signal. Its user wants the registry to end, so it drains.
    """
    had_terminal = _has_terminal()
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        async for _ in signals:
            if had_terminal and not _has_terminal():
                log.info("stopping", why="the terminal was closed")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            settings = await _reload(settings)
            await then(settings)


async def _reload(settings: Settings) -> Settings:
    """Read the configuration again, and return what holds now. A file with a mistake changes nothing.

    It may be logrotate that has sent the signal, so the log's file is opened again in any case.
    """
    try:
        read = await trio.to_thread.run_sync(_read_again, settings)
    except ConfigError as error:
        log.error("reload_refused", problems=error.problems)  # noqa: TRY400 - a matter of the file
        reopen_logs(settings.log)
        return settings
    if not reopen_logs(read.log):
        return settings
    before = settings.log
    audit = {"audit": before.audit, "audit_pulls": before.audit_pulls, "audit_memory_bytes": before.audit_memory_bytes}
    holding = replace(settings, log=replace(read.log, **audit))  # type: ignore[arg-type]  # mypy takes them for one type
    if _has_door_for(read, settings):
        holding = replace(holding, http=replace(settings.http, access=read.http.access))
    waiting = [each.name for each in fields(Settings) if each.compare and each.name != "warnings"]
    waiting = [name for name in waiting if getattr(read, name) != getattr(holding, name)]
    at_every_level.info("reloaded", log_level=read.log.level, **({"needs_restart": waiting} if waiting else {}))
    return holding


def _has_door_for(read: Settings, settings: Settings) -> bool:
    """Say whether the rules that were read can hold without a restart, which other logins would need.

    Callers of now must not lose their rules and keep their logins, and a registry that asks nobody has no rules.
    """
    if read.auth.has_login or settings.auth.has_login:
        return read.auth.has_login and settings.auth.has_login
    return read.http.access is not None and settings.http.access is not None


def reopen_logs(settings: LogSettings) -> bool:
    """Open the log's file again, which may have been moved away. Return whether that succeeded, and log a failure."""
    try:
        open_log(settings)
    except ConfigError as error:
        log.error("reload_refused", problems=error.problems)  # noqa: TRY400 - the same
        return False
    return True


def _read_again(settings: Settings) -> Settings:
    if settings.source is None:
        return settings
    return load_settings(settings.source.file, overrides=settings.source.overrides)


def _has_terminal() -> bool:
    """Whether a terminal controls this process."""
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
