"""The registry that an import copies to. Its replicas may run meanwhile, or may never have run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from zotpy.bucket.digesting import prepare_hashing
from zotpy.bucket.guard import GuardedStore
from zotpy.bucket.health import Health
from zotpy.bucket.layout import LayoutError
from zotpy.concurrency import plain_errors
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import Settings
from zotpy.startup import StartupError
from zotpy.storage import look_at_space, open_store
from zotpy.store.interface import Store, StoreError
from zotpy.store.space import SpacedStore


@asynccontextmanager
async def open_target(settings: Settings) -> AsyncIterator[Registry]:
    """Open the registry of the configuration. An empty bucket becomes a registry. Raises `StartupError`."""
    async with open_store(settings, beside_a_replica=_is_used(settings)) as store:
        health, space = Health(store), await look_at_space(settings.storage)
        await prepare_hashing()
        spaced = SpacedStore(store, space, only_pushes=True)
        registry = await open_registry_on(GuardedStore(spaced, health), settings)
        with plain_errors():
            async with trio.open_nursery() as nursery:  # an import of hours must notice that it was left behind
                nursery.start_soon(health.keep_looking)
                nursery.start_soon(space.keep_looking)
                yield registry
                nursery.cancel_scope.cancel()


def _is_used(settings: Settings) -> bool:
    """Whether the store is the one on this disk, and was used before. If so, it may be running."""
    return settings.storage.s3 is None and (settings.storage.root_directory / "keys.json").exists()


async def open_registry_on(store: Store, settings: Settings) -> Registry:
    """Open the use cases over a store. Raises `StartupError`."""
    part_bytes = settings.upload.part_size_bytes
    budget = MemoryBudget(settings.upload.memory_budget_bytes, part_bytes + MIB)
    try:
        return await open_registry(store, settings, budget)
    except (LayoutError, StoreError) as error:
        raise StartupError(str(error)) from error
