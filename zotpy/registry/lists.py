"""Lists: the tags of a repository, the repositories, the referrers of a manifest (end-8a, end-8b, end-12; catalog).

Each is one listing of a prefix that holds nothing else. A page costs a call for each 1,000 names. Referrers also cost a
read each, because their descriptors are objects.

Every page is bounded, whatever a client asks for: names by their number, descriptors by their bytes. The budget holds
what a page takes in memory from the first listing until the answer was sent.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import Denied, NameUnknown
from zotpy.core.framing import unframe
from zotpy.core.names import RepositoryName
from zotpy.core.paging import name_to_begin_after
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES, LONGEST_TYPE, bounded, json_bytes
from zotpy.core.units import KIB, MIB
from zotpy.memory.accounts import Account
from zotpy.settings import ListSettings
from zotpy.store.interface import KeyMissing, Listed, Store, StoreUnavailable

STORE_PAGE = 1000
"""Objects in one listing of the store, at most."""
REFERRERS_LISTED = 250
"""Referrers in one listing, and so on one page."""
REFERRERS_AT_ONCE = 32
BATCH_BYTES = 1 * MIB
"""How many objects one page reads at once."""
LARGE_BYTES = 256 * KIB
"""Longer objects, as older releases wrote them, are read one at a time in a replica: each may have 8 MiB."""
UNCOUNTED_BYTES = 64 * KIB
"""A page that takes less is not counted in the budget."""
NAME_BYTES = 512
"""About what a name takes in a listing and in its answer."""
COPIES = 3
"""How often a descriptor is in memory while a page is written: as it is read, as it is kept, and as JSON."""


@dataclass(frozen=True, slots=True)
class Page:
    """Names in the order of the list, and whether more follow."""

    names: Sequence[str]
    more: bool
    size: int
    """How many names a page of this size may hold."""


@dataclass(frozen=True, slots=True)
class Referrers:
    """Descriptors of one page; `last` leads to the next one."""

    descriptors: Sequence[dict[str, Any]]
    last: str | None


@dataclass(frozen=True, slots=True)
class Lists:
    """All requests for lists. Each takes the account that holds what its answer takes in memory."""

    store: Store
    settings: ListSettings
    _large_reads: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    async def tags(self, repo: RepositoryName, n: int | None, last: str, account: Account | None = None) -> Page:
        """List tags after `last`, at most `n`. Raises `NameUnknown` if nothing was ever pushed."""
        page = await self._names(keys.tags(repo), n, last, account)
        if not page.names and not await self._exists(repo):
            msg = f"the repository {repo} does not exist: check its name, or push to it"
            raise NameUnknown(msg, detail={"name": repo.text})
        return page

    async def catalog(
        self, n: int | None, last: str, account: Account | None = None, shows: Callable[[str], bool] | None = None
    ) -> Page:
        """List repositories that had a manifest pushed, after `last`, at most `n`.

        With `shows`, only those for whose names it says yes. Nothing tells of the others: a page has a next one only if
        that has a name, unless very many repositories in a row are not shown. Raises `Denied` if the page would then be
        empty.
        """
        after = last.replace("/", "!")
        if shows is None:
            page = await self._names(keys.REPOS, n, after, account)
        else:
            page = await self._shown(keys.REPOS, n, after, account, lambda name: shows(name.replace("!", "/")))
        return Page([name.replace("!", "/") for name in page.names], page.more, page.size)

    async def referrers(
        self,
        repo: RepositoryName,
        subject: Digest,
        artifact_type: str | None,
        last: str,
        account: Account | None = None,
    ) -> Referrers:
        """List manifests whose subject is this digest, whether it exists or not.

        A page has no descriptors but a next page only if very many referrers are of other artifact types.
        """
        if artifact_type is not None and len(artifact_type) > LONGEST_TYPE:
            return Referrers([], None)  # no referrer is listed with such a type
        prefix = keys.referrers(repo, subject)
        page = _ReferrersPage(artifact_type, self.settings.page_bytes)
        after, read = name_to_begin_after(last), 0
        while True:
            objects, more = await self._list_after(prefix, after, REFERRERS_LISTED)
            if read == 0:
                await self._hold(account, self._needed_bytes(objects, more=more))
            for batch in _batches(objects):
                found = await gather(*[partial(self._descriptor, listed) for listed in batch], limit=REFERRERS_AT_ONCE)
                for listed, descriptor in zip(batch, found, strict=True):
                    if descriptor is not None and not page.add(descriptor):
                        return Referrers(page.descriptors, after)
                    after = listed.key.removeprefix(prefix)
            read += len(objects)
            if not more or page.descriptors or read >= self.settings.referrers_read:
                return Referrers(page.descriptors, after if more else None)

    async def _names(self, prefix: str, n: int | None, last: str, account: Account | None) -> Page:
        """List names below a prefix that has no directories."""
        size = self.settings.page_size if n is None else min(n, self.settings.page_size)
        names: list[str] = []
        after, more = name_to_begin_after(last), size > 0
        while more and len(names) < size:
            objects, more = await self._list_after(prefix, after, min(STORE_PAGE, size - len(names)))
            if not names:
                await self._hold(account, NAME_BYTES * (size if more else len(objects)))
            names += [listed.key.removeprefix(prefix) for listed in objects]
            after = names[-1] if names else ""
        return Page(names[:size], more or len(names) > size, size)

    async def _shown(
        self, prefix: str, n: int | None, last: str, account: Account | None, shows: Callable[[str], bool]
    ) -> Page:
        """List names below a prefix that are shown, and look for one more than fits, to know if a page follows."""
        size = self.settings.page_size if n is None else min(n, self.settings.page_size)
        names: list[str] = []
        after, more, looked = name_to_begin_after(last), size > 0, 0
        if more:
            await self._hold(account, NAME_BYTES * (STORE_PAGE + size))
        while more and len(names) <= size and looked < self.settings.catalog_read:
            objects, more = await self._list_after(prefix, after, STORE_PAGE)
            found = [listed.key.removeprefix(prefix) for listed in objects]
            names += [name for name in found if shows(name)]
            looked += len(found)
            after = found[-1] if found else ""
        if more and not names:
            msg = (
                f"the next {looked} repositories of the list are not yours to read, and zotpy looks no further: ask for"
                " your repositories by name, or ask the registry's operator to raise lists.catalogRead"
            )
            raise Denied(msg)
        return Page(names[:size], more or len(names) > size, size)

    async def _list_after(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        """List objects below a prefix after one name, and say whether more follow. Raises `StoreUnavailable`.

        Some stores repeat the name, or begin anew each time. Here no object comes twice, and the loop ends: if a
        listing brings nothing new although more should follow, the rest cannot be reached.
        """
        start_after = prefix + after if after else ""
        for size in dict.fromkeys((limit, STORE_PAGE)):  # a store that repeats the name then has room for others
            listing = await self.store.list(prefix, start_after=start_after, limit=size)
            found = [listed for listed in listing.objects if listed.key > start_after]
            if found or not listing.truncated:
                return found, listing.truncated
        msg = f"the store says that more objects follow {start_after or prefix!r}, but does not list them"
        raise StoreUnavailable(msg)

    async def _hold(self, account: Account | None, size_bytes: int) -> None:
        if account is not None and size_bytes > UNCOUNTED_BYTES:
            await account.hold(size_bytes)

    def _needed_bytes(self, objects: Sequence[Listed], *, more: bool) -> int:
        """Return about what a page of these referrers takes in memory at most."""
        page_bytes = self.settings.page_bytes
        if not more:
            page_bytes = min(page_bytes, sum(min(listed.size_bytes, KEPT_ANNOTATIONS_BYTES) for listed in objects))
        return COPIES * page_bytes

    async def _exists(self, repo: RepositoryName) -> bool:
        try:
            await self.store.get(keys.repository(repo))
        except KeyMissing:
            return False
        return True

    async def _descriptor(self, listed: Listed) -> dict[str, Any] | None:
        """Read one descriptor, with as many annotations as are shown; `None`: it was deleted since it was listed."""
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
