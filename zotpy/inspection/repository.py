"""What can be wrong in one repository: its records, what its manifests need, its tags and referrers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from zotpy.collector.records import Record, list_records
from zotpy.collector.tables import Table
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, ManifestInvalid
from zotpy.core.framing import FramingError
from zotpy.core.hashing import new_hasher
from zotpy.core.keys import Kind
from zotpy.core.manifests import ManifestFacts, parse_manifest
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.pieces import Pieces
from zotpy.core.records import BlobValue, Lease, ManifestValue, Value, decode_entry, decode_value
from zotpy.inspection.report import Problem, Report
from zotpy.registry.concurrency import gather
from zotpy.registry.names import Names
from zotpy.registry.pipeline import hash_pieces
from zotpy.registry.tags import Tags
from zotpy.store.interface import KeyMissing, Listed, Store, StoreError
from zotpy.store.sweeps import list_all

AT_ONCE = 16
Key = tuple[Kind, Digest]


@dataclass(frozen=True, slots=True)
class RepositoryCheck:
    """The check of one repository."""

    store: Store
    repo: RepositoryName
    sizes: Table
    """Of all data objects, by id."""
    report: Report
    should_read: Callable[[], bool]
    """Whether to read the next large blob whole."""
    repair: bool

    async def run(self) -> None:
        """Look at everything that the repository has."""
        records = await list_records(self.store, self.repo)
        values = await gather(*[partial(self._value_of, key, record) for key, record in records.items()], limit=AT_ONCE)
        found = {key: value for key, value in zip(records, values, strict=True) if value is not None}
        for (kind, digest), value in found.items():
            if isinstance(value, ManifestValue):
                await self._check_manifest(digest, value, found)
            elif kind == "blobs":
                await self._check_blob(digest, value)
        await self._check_tags(found)

    async def _value_of(self, key: Key, record: Record) -> Value | None:
        """Read a record, and mend it where entry or lease is missing; `None` where there is none to look at."""
        kind, digest = key
        if record.is_tombstone:
            return None
        try:
            if record.entry is None:
                return await self._from_leases(kind, digest, record)
            entry = decode_entry(kind, (await self.store.get(record.entry.key)).body)
            if entry.value is None:
                return None  # deleted since the listing
            if not record.leases:
                await self._lease_anew(kind, digest, entry.value)
        except KeyMissing:
            return None  # collected since the listing
        except FramingError as error:
            self._tell(str(digest), f"its record cannot be read: {error}")
            return None
        return entry.value

    async def _from_leases(self, kind: Kind, digest: Digest, record: Record) -> Value | None:
        newest = record.newest()
        if newest is None:
            return None
        value = decode_value(kind, (await self.store.get(newest.key)).body)
        try:
            await self.store.get(keys.entry(self.repo, kind, digest))
        except KeyMissing:
            if self.repair:
                lease = Lease(newest.key.rpartition("/")[2].partition("-")[0], newest.last_modified)
                guarded = self.store.features.conditional_create
                await self.store.put(keys.entry(self.repo, kind, digest), value.encode(lease), if_none_match=guarded)
            self._tell(str(digest), "its entry is lost, a lease has it", mended=self.repair)
        return value

    async def _lease_anew(self, kind: Kind, digest: Digest, value: Value) -> None:
        if (await self.store.list(keys.leases(self.repo, kind, digest), limit=1)).objects:
            return  # pushed since the listing
        if self.repair:
            data_id = value.data_id if isinstance(value, BlobValue) else None
            await self.store.put(keys.lease(self.repo, kind, digest, keys.new_id(), data_id), value.encode())
        self._tell(str(digest), "no lease protects it", mended=self.repair)

    async def _check_blob(self, digest: Digest, value: Value) -> None:
        self.report.blobs += 1
        if not isinstance(value, BlobValue):
            return
        if value.data_id is None:
            if Digest.of(value.content, digest.algorithm) != digest:
                self._tell(str(digest), "its bytes have another digest")
            return
        sizes = (await self.sizes.of([value.data_id])).get(value.data_id, frozenset())
        if str(value.size_bytes) in sizes and not self.should_read():
            return
        await self._read(digest, value, keys.data(value.data_id))

    async def _read(self, digest: Digest, value: BlobValue, key: str) -> None:
        """Read a large blob whole, and compare length and digest."""
        hasher = new_hasher(digest.algorithm)
        try:
            async with self.store.open(key, 0, value.size_bytes) as chunks:
                async for chunk in chunks:
                    await hash_pieces(hasher, Pieces(chunk))
                    self.report.bytes_read += len(chunk)
        except KeyMissing:
            self._tell(str(digest), f"its data {key} is gone")
        except StoreError as error:
            self._tell(str(digest), f"its data {key} cannot be read: {error}")
        else:
            if hasher.digest() != digest:
                self._tell(str(digest), f"its data {key} has another digest")

    async def _check_manifest(self, digest: Digest, value: ManifestValue, found: Mapping[Key, Value]) -> None:
        self.report.manifests += 1
        if Digest.of(value.content, digest.algorithm) != digest:
            self._tell(str(digest), "its bytes have another digest")
            return
        try:
            facts = parse_manifest(value.content, value.media_type)
        except ManifestInvalid as error:
            self._tell(str(digest), f"it is no manifest that this release knows: {error}")
            return
        needed: list[Key] = [("blobs", blob) for blob in facts.blobs]
        needed += [("manifests", child) for child in facts.manifests]
        for kind, reference in needed:
            if (kind, reference) not in found and not await self._exists(kind, reference):
                self._tell(str(digest), f"it needs {reference}, which is not there")
        await self._check_referrer(digest, value, facts)

    async def _exists(self, kind: Kind, digest: Digest) -> bool:
        """Look again for what may be newer than the listing."""
        try:
            entry = decode_entry(kind, (await self.store.get(keys.entry(self.repo, kind, digest))).body)
        except (KeyMissing, FramingError):
            return False
        return entry.value is not None

    async def _check_referrer(self, digest: Digest, value: ManifestValue, facts: ManifestFacts) -> None:
        names = Names(self.store, Tags(self.store))
        if facts.subject is not None and await names.referrer_etag(self.repo, facts.subject, digest) is None:
            if not await self._exists("manifests", digest):
                return  # deleted since the listing
            if self.repair:
                await names.write_referrer(self.repo, facts, digest, value)
            self._tell(str(digest), f"it is not listed among the referrers of {facts.subject}", mended=self.repair)

    async def _check_tags(self, found: Mapping[Key, Value]) -> None:
        listed = await list_all(self.store, keys.tags(self.repo))
        marked = {
            keys.marked_by(marker.key) for marker in await list_all(self.store, keys.all_of(keys.TAGGED, self.repo))
        }
        await gather(*[partial(self._check_tag, tag, found, marked) for tag in listed], limit=AT_ONCE)

    async def _check_tag(self, listed: Listed, found: Mapping[Key, Value], marked: set[tuple[Digest, Tag]]) -> None:
        tags, tag = Tags(self.store), Tag(listed.key.removeprefix(keys.tags(self.repo)))
        self.report.tags += 1
        try:
            read = await tags.read(self.repo, tag)
        except (FramingError, DigestInvalid) as error:
            self._tell(tag.text, f"the tag cannot be read: {error}")
            return
        if read is None:
            return  # deleted since the listing
        value, _ = read
        if Digest.of(value.manifest.content, value.digest.algorithm) != value.digest:
            self._tell(tag.text, "its bytes have another digest than the one that it names")
        elif ("manifests", value.digest) not in found and not await self._exists("manifests", value.digest):
            self._tell(tag.text, f"it names {value.digest}, which is not there")
        elif (value.digest, tag) not in marked and await tags.etag_of(self.repo, tag, value.digest) is not None:
            if self.repair:
                await Names(self.store, tags).mark_tag(self.repo, value.digest, tag)
            self._tell(tag.text, "a DELETE of its manifest would not find it", mended=self.repair)

    def _tell(self, what: str, problem: str, *, mended: bool = False) -> None:
        self.report.problems.append(Problem(f"{self.repo} {what}", problem, "repaired" if mended else "left"))
