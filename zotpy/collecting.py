"""Garbage collected by the server itself, for a registry with an embedded store, where nothing else does it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
import trio

from zotpy.collector import Collector, CollectorSettings
from zotpy.settings import Settings
from zotpy.store.interface import Store
from zotpy.store.paced import PacedStore

FIRST_AFTER_S = 600.0
"""So soon that a server that is restarted every day collects, too."""
WINDOW_CHECK_S = 60.0
BUFFER_ROWS = 20_000
"""Less than in a process of its own, which has all the memory for itself."""

IsImmutable = Callable[[str, str], bool]
"""Says whether a tag, the second, of a repository is immutable now."""

log = structlog.get_logger()


def utc_now() -> datetime:
    """Return the time of this host. It decides when to look for garbage, and never what is garbage."""
    return datetime.now(UTC)


async def keep_collecting(
    store: Store, settings: Settings, is_immutable: IsImmutable, now: Callable[[], datetime] = utc_now
) -> None:
    """Collect every `gcSettings.interval` until cancelled. If that is 0, do nothing.

    With `storage.gcTimeWindow` a collection begins when the window opens, and more follow within it, because the bytes
    of large blobs need two of them.

    If a collection fails, it is logged, and the next one tries again: it must never end what serves.
    """
    interval_s = settings.collection_interval_s
    if not interval_s:
        return
    paced = PacedStore(store, settings.gc.calls_per_second)
    numbers = replace(collector_settings(settings, is_immutable), buffer_rows=BUFFER_ROWS)
    await trio.sleep(min(FIRST_AFTER_S, interval_s))
    while True:
        if outside_window(settings.gc.time_window, now()):
            await trio.sleep(WINDOW_CHECK_S)
            continue
        try:
            summary = await Collector(paced, numbers).run()
        except Exception as error:
            log.exception("collection_failed", exc_info=error)
        else:
            log.info("collected", **{name: value for name, value in summary.as_dict().items() if value})
        is_any_time = settings.gc.time_window is None
        await trio.sleep(interval_s if is_any_time else min(interval_s, 3 * settings.gc.deadline_s))


def outside_window(window: tuple[int, int] | None, now: datetime) -> str:
    """Say why a collection may not begin now; empty: it may."""
    if window is None:
        return ""
    begin, end = window
    minute = now.hour * 60 + now.minute
    if (begin <= minute < end) if begin < end else (minute >= begin or minute < end):
        return ""
    times = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    return f"nothing was collected: it is {now:%H:%M} UTC, and storage.gcTimeWindow is {times}"


def collector_settings(settings: Settings, is_immutable: IsImmutable) -> CollectorSettings:
    """Return what a collector needs of the configuration."""
    return CollectorSettings(gc=settings.gc, retention=settings.retention, is_immutable=is_immutable)
