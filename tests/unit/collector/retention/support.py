"""A bucket with retention rules, and what is pushed to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import trio

from tests.unit.collector.support import GRACE_S, SETTINGS, Bucket
from tests.unit.registry.support import BUDGET_BYTES, PART_BYTES, REPO
from tests.unit.registry.test_manifests import image
from zotpy.collector import Collector
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import Tag
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import KeepTagsSettings, PolicySettings, RetentionSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.registry.support import Step
    from zotpy.collector import Expiration, Summary
    from zotpy.core.names import Reference
    from zotpy.store.interface import Features, Store

DELAY_S = 3 * GRACE_S
UNTAGGED_IMAGE = Digest.of(image())
ENTRY = keys.entry(REPO, "manifests", UNTAGGED_IMAGE)
MARKERS = keys.tagged(REPO, UNTAGGED_IMAGE)
ALL = (re.compile(""),)
UNTAGGED = PolicySettings(ALL)
BOTH = PolicySettings(ALL, delete_referrers=True)
NEWEST = PolicySettings(ALL, keep_tags=(KeepTagsSettings(most_recently_pushed_count=1),))
PULLED_S = 10 * GRACE_S
PULLED = PolicySettings(ALL, delete_untagged=False, keep_tags=(KeepTagsSettings(pulled_within_s=PULLED_S),))


@dataclass(eq=False, slots=True)
class Kept:
    """A bucket, its rules, and what a dry run was told."""

    bucket: Bucket
    told: list[str] = field(default_factory=list)

    @classmethod
    async def open(cls, features: Features | None = None, *, is_older: bool = False) -> Kept:
        """Open a replica over a new store, or over one of an older release."""
        return cls(await Bucket.open(features, is_older=is_older))

    def begin(self, what: str) -> Callable[[int], None]:
        """Watch; see `Progress`."""
        del what
        return lambda _: None

    def tell(self, expiration: Expiration) -> None:
        """Remember; see `Progress`."""
        self.told.append(str(expiration))

    async def collect(
        self,
        *policies: PolicySettings,
        store: Store | None = None,
        dry_run: bool = False,
        only_says: bool = False,
        is_immutable: Callable[[str, str], bool] = lambda *_: False,
    ) -> Summary:
        """Collect once by these policies."""
        retention = RetentionSettings(only_says, DELAY_S, policies)
        settings = replace(SETTINGS, dry_run=dry_run, retention=retention, is_immutable=is_immutable)
        return await Collector(store or self.bucket.store, settings, self).run()

    async def push_index(self, *children: Digest, tag: str = "") -> Digest:
        """Push an index, by its digest where there is no tag."""
        body = index(*children)
        digest = Digest.of(body)
        await self.bucket.registry.manifests.push(REPO, Tag(tag) if tag else digest, body, OCI_INDEX)
        return digest

    async def has(self, reference: Reference) -> bool:
        """Whether a manifest can be pulled."""
        try:
            await self.bucket.registry.manifests.find(REPO, reference)
        except ManifestUnknown:
            return False
        return True


def index(*children: Digest) -> bytes:
    """Write an index of images."""
    manifests = [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": str(child), "size": 2}
        for child in children
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


async def meanwhile(
    kept: Kept, parked: Step, work: Callable[[], Awaitable[object]], policy: PolicySettings = UNTAGGED
) -> int:
    """Do something where the collection was told to stop; returns how many tags and manifests have gone."""
    gone = []

    async def collect() -> None:
        summary = await kept.collect(policy, store=kept.bucket.slow)
        gone.append(summary.manifests_expired + summary.tags_expired)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await parked.reached.wait()
        await work()
        parked.go_on.set()
    return gone[0]


async def slow_replica(kept: Kept) -> Registry:
    """Open a replica that the script stops."""
    return await open_registry(
        kept.bucket.slow, kept.bucket.registry.settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES)
    )
