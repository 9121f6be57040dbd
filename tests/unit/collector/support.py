"""A registry on a clock, and collectors of its bucket."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.unit.registry.support import REPO, Clock, Script, content, keys_below, older_bucket, open_replica, push
from tests.unit.registry.test_manifests import CONFIG, image
from zotpy.collector import Collector, CollectorSettings, Summary
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import RepositoryName, Tag
from zotpy.settings import GcSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Features, Store

GRACE_S = 1000.0
DEADLINE_S = 50.0
TTL_S = 2000.0
SETTINGS = CollectorSettings(GcSettings(grace_s=GRACE_S, deadline_s=DEADLINE_S, upload_ttl_s=TTL_S))
LARGE = 200_000
"""Bytes of a blob that has a data object, of two parts."""


@dataclass(eq=False, slots=True)
class Bucket:
    """A bucket, a replica, and another one that stops where it is told to."""

    clock: Clock
    store: MemoryStore
    registry: Registry
    script: Script = field(default_factory=Script)

    @classmethod
    async def open(cls, features: Features | None = None, *, is_older: bool = False) -> Bucket:
        """Open a replica over a new store, or one of an older release, with a config to make images of."""
        clock = Clock()
        store = MemoryStore(clock, features)
        if is_older:
            await older_bucket(store)
        bucket = cls(clock, store, await open_replica(store, grace_s=GRACE_S, deadline_s=DEADLINE_S))
        await push(bucket.registry, CONFIG)
        return bucket

    @property
    def slow(self) -> Store:
        """The store as somebody sees it whom the script stops."""
        return FaultyStore(self.store, self.script)

    async def collect(self, *, store: Store | None = None, dry_run: bool = False) -> Summary:
        """Collect once."""
        return await Collector(store or self.store, replace(SETTINGS, dry_run=dry_run)).run()

    async def collect_until_clean(self, passes: int = 12) -> None:
        """Collect as a timer would, until there can be nothing left to do."""
        for _ in range(passes):
            self.clock.advance(GRACE_S / 2)
            await self.collect()

    async def push_image(self, *layers: Digest, tag: str = "v1", repo: RepositoryName = REPO, note: str = "") -> Digest:
        """Push an image of these layers and the config."""
        manifest = image(*layers, note=note)
        await self.registry.manifests.push(repo, Tag(tag), manifest, OCI_IMAGE)
        return Digest.of(manifest)

    async def push_large(self, seed: int = 1, repo: RepositoryName = REPO) -> Digest:
        """Push a blob that has a data object."""
        return await push(self.registry, content(LARGE, seed), repo)

    @property
    def data(self) -> list[str]:
        """The ids of all data objects."""
        return [key.removeprefix(keys.DATA) for key in keys_below(self.store, keys.DATA)]

    @property
    def left(self) -> list[str]:
        """All keys but those that every bucket has."""
        return [key for key in sorted(self.store.objects) if not key.startswith("meta/")]
