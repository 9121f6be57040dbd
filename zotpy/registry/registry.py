"""All use cases over one store, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from zotpy.bucket.deletions import Deletions
from zotpy.bucket.hints import Hints
from zotpy.bucket.keyring import Keyring
from zotpy.bucket.layout import check_layout
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.promised_entries import PromisedEntries
from zotpy.bucket.records import Records
from zotpy.bucket.tags import Tags
from zotpy.cache.byte_cache import ByteCache, CacheEvents
from zotpy.cache.shelf import Shelf
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.registry.blobs import Blobs
from zotpy.registry.damage import Damage
from zotpy.registry.lists import Lists
from zotpy.registry.manifests import Manifests
from zotpy.registry.mounts import Mounts
from zotpy.registry.pull_log import PullLog
from zotpy.registry.pushing.committing import Commit
from zotpy.registry.pushing.placing import Placing
from zotpy.registry.pushing.sessions import Sessions
from zotpy.registry.pushing.uploads import Uploads
from zotpy.registry.referrer_lists import ReferrerLists
from zotpy.settings import Settings
from zotpy.store.held import HeldStore
from zotpy.store.holds import Holds
from zotpy.store.interface import Store
from zotpy.store.joining import JoiningStore


@dataclass(frozen=True, slots=True)
class Registry:
    """What a replica can do."""

    settings: Settings
    store: Store
    budget: MemoryBudget
    holds: Holds
    keyring: Keyring
    blobs: Blobs
    uploads: Uploads
    mounts: Mounts
    manifests: Manifests
    lists: Lists
    referrers: ReferrerLists
    pulls: PullLog


async def open_registry(
    store: Store,
    settings: Settings,
    budget: MemoryBudget,
    on_read_back: Callable[[int], None] = lambda _: None,
    on_damage: Callable[[], None] = lambda: None,
    on_join: Callable[[], None] = lambda: None,
    cached: tuple[Shelf, CacheEvents] | None = None,
    promised: PromisedEntries | None = None,
) -> Registry:
    """Check the bucket's layout, load its signing keys, and put the use cases together. Raises `LayoutError`.

    `on_read_back` is called with the length of each blob that is read back to learn its digest. `on_damage` is called
    for each blob whose data is found to be lost, `on_join` for each read that shares the call of another one. `cached`
    are the files of the cache, and what is called when something happens to it. `promised` is the memory of entries;
    without it, nothing is answered from memory, and no DELETE waits.
    """
    store = HeldStore(JoiningStore(store, on_join) if settings.storage.join_reads else store)
    holds = Holds()
    layout = await check_layout(store)
    keyring = await Keyring.load(store)
    records = Records(store, settings.gc, promised or PromisedEntries(), layout.has_own_leases)
    hints = Hints(store, settings.gc)
    commits = Commit(store, records, hints, settings, Placing(store, hints, settings.gc, on_read_back))
    damage = Damage(store, records, hints, on_damage)
    pointers = Pointers(store, Tags(store))
    readers = Readers(budget, settings.http.paced_reads)
    cache = None if cached is None else ByteCache(cached[0], readers, cached[1])
    return Registry(
        settings=settings,
        store=store,
        budget=budget,
        holds=holds,
        keyring=keyring,
        blobs=Blobs(store, records, settings, readers, damage, cache),
        uploads=Uploads(store, Sessions(store, budget, settings), commits, keyring, budget, settings, holds),
        mounts=Mounts(records, hints, settings),
        manifests=Manifests(store, records, pointers, Deletions(store, records, pointers), settings),
        lists=Lists(store, settings.lists),
        referrers=ReferrerLists(store, settings.lists),
        pulls=PullLog(store, settings.pull_interval_s),
    )
