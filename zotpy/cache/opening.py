"""The files of the cache when a replica starts."""

from functools import partial

import structlog
import trio

from zotpy.cache.memory_shelf import MemoryShelf
from zotpy.cache.shelf import Shelf
from zotpy.settings import Settings

log = structlog.get_logger()


async def open_shelf(settings: Settings) -> Shelf | None:
    """Read what the cache holds. `None`: none is configured, or its directory cannot be used, which is only logged."""
    cache, workers = settings.cache, settings.http.workers
    if cache.directory is None:
        return MemoryShelf(cache.memory_bytes // workers) if cache.memory_bytes else None
    share_bytes = cache.size_bytes // workers
    try:
        return await trio.to_thread.run_sync(partial(Shelf.open, cache.directory, share_bytes))
    except OSError as error:
        log.warning("cache_failed", reason=str(error), effect="pulls come from the store")
        return None
