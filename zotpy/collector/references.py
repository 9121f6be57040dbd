"""What the manifests of one repository name.

Every existing manifest counts, tagged or not. If an operator wants untagged ones deleted, a retention rule says so, and
retention deletes them first.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial

from zotpy.collector.collection import Collection
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import HEX_LENGTHS, Digest
from zotpy.core.errors import ManifestInvalid
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import ManifestValue, decode_entry, decode_value
from zotpy.store.interface import KeyMissing, Listed, Store

References = Mapping[Digest, frozenset[Digest]]
"""Manifests, each with all that it names."""
_DIGESTS = re.compile(
    "|".join(rf"{name}:[0-9a-f]{{{length}}}(?![0-9a-f])" for name, length in HEX_LENGTHS.items()).encode()
)


def references_of(value: ManifestValue) -> frozenset[Digest]:
    """Return every digest that a manifest mentions anywhere: those that it needs, and some more."""
    found = {Digest.parse(match.group().decode()) for match in _DIGESTS.finditer(value.content)}
    try:
        facts = parse_manifest(value.content, value.media_type)
    except ManifestInvalid:  # by the rules of another release: use what can be seen in it
        return frozenset(found)
    return frozenset(found | {*facts.blobs, *facts.manifests})


async def read_references(
    collection: Collection, repo: RepositoryName, manifests: Sequence[tuple[Digest, Sequence[Listed]]]
) -> frozenset[Digest]:
    """Read manifests, each given with its leases, and return what they name. Raises `FramingError`, `StoreError`."""
    found = await gather(
        *[partial(_read, collection, repo, digest, leases) for digest, leases in manifests],
        limit=collection.settings.calls_at_once,
    )
    return frozenset().union(*found)


async def _read(
    collection: Collection, repo: RepositoryName, digest: Digest, leases: Sequence[Listed]
) -> frozenset[Digest]:
    """Read one manifest, from a lease if it has no entry. One that cannot be found any more was deleted meanwhile."""
    collection.summary.manifests_read += 1
    try:
        fetched = await collection.store.get(keys.entry(repo, "manifests", digest))
    except KeyMissing:
        value = await value_of_leases(collection.store, leases)
        return frozenset() if value is None else references_of(value)
    entry = decode_entry("manifests", fetched.body).unless_refused(fetched.last_modified)
    # A tombstone: deleted since the listing. If the same bytes were pushed since, that push relies on younger leases.
    return frozenset() if not isinstance(entry.value, ManifestValue) else references_of(entry.value)


async def value_of_leases(store: Store, leases: Sequence[Listed]) -> ManifestValue | None:
    """Read a manifest without an entry, as a push that broke off leaves it; `None` if it was deleted meanwhile."""
    for lease in leases:
        try:
            value = decode_value("manifests", (await store.get(lease.key)).body)
        except KeyMissing:
            continue
        if isinstance(value, ManifestValue):
            return value
    return None
