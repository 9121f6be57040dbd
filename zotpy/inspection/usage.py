"""How much space a registry uses: by repository, and together, with shared content counted once.

It only lists objects and reads none. A large blob counts with its length. Small blobs and manifests are in their
records, and count with the length of those, which is a few dozen bytes more. Deleted content that waits for the
collector belongs to no repository.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from zotpy.bucket.record_listing import list_records
from zotpy.bucket.repositories import for_each, repositories_below
from zotpy.bucket.sweeps import pages
from zotpy.bucket.tables import Table, table
from zotpy.core import keys
from zotpy.core.names import RepositoryName
from zotpy.store.interface import Store

REPOSITORIES_AT_ONCE = 8
BUFFER_ROWS = 200_000


@dataclass(slots=True)
class RepositoryUsage:
    """What one repository has."""

    name: str
    manifests: int = 0
    tags: int = 0
    blobs: int = 0
    logical_bytes: int = 0
    """Length of all its blobs and manifests, as if it shared none of them."""
    exclusive_bytes: int = 0
    """What the deletion of this repository alone would free."""


@dataclass(slots=True)
class Usage:
    """All repositories together."""

    repositories: list[RepositoryUsage] = field(default_factory=list)
    """By name."""
    logical_bytes: int = 0
    """Of all repositories, as if nothing was shared."""
    stored_bytes: int = 0
    """Of all data objects and records, each once."""
    unnamed_bytes: int = 0
    """Data objects that no repository names: the collector deletes them, except those of uploads under way."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it by name, for JSON."""
        return asdict(self)


async def measure(store: Store, advance: Callable[[int], None]) -> Usage:
    """Measure a bucket while it is in use. What is pushed or deleted meanwhile may or may not be counted.

    `advance` is called with how many more objects were listed. Raises `StoreError`.
    """
    found: dict[str, RepositoryUsage] = {}
    async with table(BUFFER_ROWS) as named:
        foreign: list[str] = []  # `fsck` reports it

        async def look(repo: RepositoryName) -> None:
            if repo.text not in found:
                found[repo.text] = await _measure_records(store, repo, named, advance, foreign)

        for root in (keys.LEASES, keys.ENTRIES):  # small blobs need no leases
            await for_each(repositories_below(store, root, foreign=foreign), look, REPOSITORIES_AT_ONCE)
        usage = Usage([found[name] for name in sorted(found)])
        usage.stored_bytes = sum(each.logical_bytes for each in found.values())
        await _add_data(store, found, named, usage, advance)
    usage.logical_bytes = sum(each.logical_bytes for each in found.values())
    return usage


async def _measure_records(
    store: Store, repo: RepositoryName, named: Table, advance: Callable[[int], None], foreign: list[str]
) -> RepositoryUsage:
    """Count what is in records, and note which data belongs to the repository."""
    usage = RepositoryUsage(repo.text)
    rows = []
    for (kind, _), record in (await list_records(store, repo, foreign)).items():
        if not record.exists_as(kind):
            continue
        if kind == "blobs":
            usage.blobs += 1
        else:
            usage.manifests += 1
        data_ids = record.data_ids()
        rows += [(data_id, repo.text) for data_id in data_ids]
        if not data_ids:
            usage.logical_bytes += record.size_bytes
            usage.exclusive_bytes += record.size_bytes
    await named.add(rows)
    async for page in pages(store, keys.tags(repo)):
        usage.tags += len(page.objects)
    advance(usage.blobs + usage.manifests + usage.tags)
    return usage


async def _add_data(
    store: Store, found: dict[str, RepositoryUsage], named: Table, usage: Usage, advance: Callable[[int], None]
) -> None:
    """Count the data of large blobs, for each repository that names it."""
    async for page in pages(store, keys.DATA):
        owners = await named.of([listed.key.removeprefix(keys.DATA) for listed in page.objects])
        for listed in page.objects:
            names = owners.get(listed.key.removeprefix(keys.DATA), frozenset())
            usage.stored_bytes += listed.size_bytes
            usage.unnamed_bytes += 0 if names else listed.size_bytes
            for name in names:
                found[name].logical_bytes += listed.size_bytes
                found[name].exclusive_bytes += listed.size_bytes if len(names) == 1 else 0
        advance(len(page.objects))
