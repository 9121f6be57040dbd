"""`zotpy serve` once its settings are read: what no other command imports."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from zotpy.http.private_parts import SERVER
from zotpy.libraries import check
from zotpy.settings import Settings
from zotpy.startup import StartupError, allow_many_files, open_log
from zotpy.telemetry.private_parts import PROMETHEUS_CLIENT


def run(settings: Settings) -> str:
    """Serve until told to stop. Return why it could not start, or nothing. Raises `ConfigError`, `LibraryChanged`."""
    open_log(settings.log)
    check(*SERVER, PROMETHEUS_CLIENT)
    allow_many_files()
    try:
        trio.run(partial(_serving(settings), settings), strict_exception_groups=True)
    except StartupError as error:
        return str(error)
    return ""


def _serving(settings: Settings) -> Callable[[Settings], Awaitable[None]]:
    """Return what serves: this process, or workers that it starts. Each imports what the other does without."""
    if settings.http.workers == 1:
        from zotpy.server import serve  # noqa: PLC0415

        return serve
    from zotpy.workers import supervise  # noqa: PLC0415

    return supervise
