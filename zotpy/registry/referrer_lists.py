"""The referrers of a manifest, page by page (end-12).

They are one listing of a prefix that holds nothing else, and a read for each, because their descriptors are objects.
Every page is bounded by the bytes of its descriptors, whatever a client asks for.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.framing import unframe
from zotpy.core.names import RepositoryName
from zotpy.core.paging import name_to_begin_after
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES, LONGEST_TYPE, bounded, json_bytes
from zotpy.core.units import KIB, MIB
from zotpy.memory.accounts import Account
from zotpy.registry.listing import hold, list_after
from zotpy.settings import ListSettings
from zotpy.store.interface import KeyMissing, Listed, Store

REFERRERS_LISTED = 250
"""How many referrers are in one listing, and so on one page."""
REFERRERS_AT_ONCE = 32
BATCH_BYTES = 1 * MIB
"""How many objects one page reads at once, and how long they are together."""
LARGE_BYTES = 256 * KIB
"""Longer objects, as older releases wrote them, are read one at a time in a replica: each may have 8 MiB."""
COPIES = 3
"""How often a descriptor is in memory while a page is written: as it is read, as it is kept, and as JSON."""


@dataclass(frozen=True, slots=True)
class Referrers:
    """Descriptors of one page; `last` leads to the next one."""

    descriptors: Sequence[dict[str, Any]]
    last: str | None


@dataclass(frozen=True, slots=True)
class ReferrerLists:
    """All requests for referrers."""

    store: Store
    settings: ListSettings
    _large_reads: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    async def page(
        self,
        repo: RepositoryName,
        subject: Digest,
        artifact_type: str | None,
        last: str,
        account: Account | None = None,
    ) -> Referrers:
        """List manifests whose subject is this digest, whether it exists or not. `account` holds the answer.

        A page has no descriptors but a next page only if very many referrers are of other artifact types.
        """
        if artifact_type is not None and len(artifact_type) > LONGEST_TYPE:
            return Referrers([], None)  # no referrer is listed with such a type
        prefix = keys.referrers(repo, subject)
        page = _ReferrersPage(artifact_type, self.settings.page_bytes)
        after, read = name_to_begin_after(last), 0
        while True:
            objects, more = await list_after(self.store, prefix, after, REFERRERS_LISTED)
            if read == 0:
                await hold(account, self._needed_bytes(objects, more=more))
            for batch in _batches(objects):
                found = await gather(*[partial(self._descriptor, listed) for listed in batch], limit=REFERRERS_AT_ONCE)
                for listed, descriptor in zip(batch, found, strict=True):
                    if descriptor is not None and not page.add(descriptor):
                        return Referrers(page.descriptors, after)
                    after = listed.key.removeprefix(prefix)
            read += len(objects)
            if not more or page.descriptors or read >= self.settings.referrers_read:
                return Referrers(page.descriptors, after if more else None)

    def _needed_bytes(self, objects: Sequence[Listed], *, more: bool) -> int:
        """Return about what a page of these referrers takes in memory at most."""
        page_bytes = self.settings.page_bytes
        if not more:
            page_bytes = min(page_bytes, sum(min(listed.size_bytes, KEPT_ANNOTATIONS_BYTES) for listed in objects))
        return COPIES * page_bytes

    async def _descriptor(self, listed: Listed) -> dict[str, Any] | None:
        """Read one descriptor, with as many annotations as are shown.

        `None`: it was deleted since it was listed, or the object is not this registry's, which `fsck` reports.
        """
        try:
            keys.referring(listed.key)
        except DigestInvalid:
            return None
        async with self._large_reads if listed.size_bytes > LARGE_BYTES else nullcontext():
            try:
                header, _ = unframe((await self.store.get(listed.key)).body)
            except KeyMissing:
                return None
            descriptor = header.get("descriptor")
            if not isinstance(descriptor, dict):
                return None
            return bounded(descriptor, self.settings.annotation_bytes)


@dataclass(slots=True)
class _ReferrersPage:
    """Descriptors of one artifact type, or of any with `None`, as many as fit into the bytes; at least one."""

    artifact_type: str | None
    free_bytes: int
    descriptors: list[dict[str, Any]] = field(default_factory=list)

    def add(self, descriptor: dict[str, Any]) -> bool:
        """Take one, if it is of the type; `False`: no room is left for it."""
        if self.artifact_type not in {None, descriptor.get("artifactType", "")}:
            return True
        self.free_bytes -= json_bytes(descriptor)
        if self.free_bytes < 0 and self.descriptors:
            return False
        self.descriptors.append(descriptor)
        return True


def _batches(objects: Sequence[Listed]) -> Iterator[Sequence[Listed]]:
    """Cut a listing into pieces that are read at once, bounded in objects and in bytes; a single one may be longer."""
    batch: list[Listed] = []
    size_bytes = 0
    for listed in objects:
        if batch and (len(batch) == REFERRERS_AT_ONCE or size_bytes + listed.size_bytes > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(listed)
        size_bytes += listed.size_bytes
    if batch:
        yield batch
