"""A bucket that was filled from a backup: what it holds counts again.

Leases, entries and tags say by when they had to be written (`zotpy.bucket.reliance`). A tool that copies objects gives
them the time of the copy, so each of them is *late* in the copy, and nobody relies on it. Every manifest would be 404,
and a grace later the collector would delete all of it. Here each late one is written anew without such a time.

It is for a bucket in which nothing else writes: what was late before it was copied, of a push that nobody acknowledged,
counts from then on, too. The check that follows finds what such a push refers to and does not have.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from zotpy.bucket.sweeps import pages
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.framing import FramingError
from zotpy.core.keys import Kind
from zotpy.core.record_values import Entry, decode_entry, is_late
from zotpy.core.tag_values import TagValue
from zotpy.inspection.report import Report
from zotpy.store.interface import Body, ConditionFailed, Fetched, KeyMissing, Listed, Store

AT_ONCE = 16
"""Objects that are read and written at the same time; each holds a manifest or a small blob."""


@dataclass(slots=True)
class Restoring:
    """What makes the objects of a copy count. Begun again after a fault, it goes on with those that are left."""

    store: Store
    report: Report
    advance: Callable[[int], None]

    async def run(self) -> None:
        """Rewrite every late lease, entry and tag: leases first, as they are the authority. Raises `StoreError`."""
        await self._each(keys.LEASES, self._restore_lease)
        await self._each(keys.ENTRIES, self._restore_entry)
        await self._each(keys.TAGS, self._restore_tag)

    async def _each(self, prefix: str, restore: Callable[[Listed], Awaitable[None]]) -> None:
        async for page in pages(self.store, prefix):
            await gather(*[partial(restore, listed) for listed in page.objects], limit=AT_ONCE)
            self.advance(len(page.objects))

    async def _restore_lease(self, listed: Listed) -> None:
        """Give a lease a key without a time, and the same id, which the entry names."""
        if not is_late(listed.last_modified, keys.lease_until(listed.key)):
            return
        try:
            fetched = await self.store.get(listed.key)
        except KeyMissing:
            return
        await self.store.put(keys.without_until(listed.key), fetched.body)
        await self.store.delete(listed.key)
        self.report.restored += 1

    async def _restore_entry(self, listed: Listed) -> None:
        """Write an entry without a time and without its lease's: the next request that relies on it renews it."""
        kind: Kind = "manifests" if "!/manifests/" in listed.key else "blobs"
        await self._rewrite(listed.key, partial(_entry, kind))

    async def _restore_tag(self, listed: Listed) -> None:
        await self._rewrite(listed.key, _tag)

    async def _rewrite(self, key: str, rewritten: Callable[[Fetched], Body | None]) -> None:
        """Write an object anew, if it is still the one that was read; damaged ones are for the check."""
        try:
            fetched = await self.store.get(key)
            body = rewritten(fetched)
            if body is None:
                return
            if_match = fetched.etag if self.store.features.conditional_replace else None
            await self.store.put(key, body, if_match=if_match)
        except (KeyMissing, ConditionFailed, FramingError):
            return
        self.report.restored += 1


def _entry(kind: Kind, fetched: Fetched) -> Body | None:
    """Return a late entry without its time, and `None` for one that counts as it is."""
    entry: Entry = decode_entry(kind, fetched.body)
    if entry.value is None or not is_late(fetched.last_modified, entry.until):
        return None
    return entry.value.encode(None, entry.epoch)


def _tag(fetched: Fetched) -> Body | None:
    """Return a late tag without its time, and `None` for one that counts as it is."""
    tag = TagValue.decode(fetched.body)
    return replace(tag, until=None).encode() if is_late(fetched.last_modified, tag.until) else None
