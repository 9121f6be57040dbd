"""What can be wrong in one repository: its records, what its manifests need, its names.

What large blobs and manifests hold is dropped as soon as it was looked at; what stays is which there are, and what the
manifests need.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.record_listing import list_records
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid
from zotpy.core.keys import Kind
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue, ManifestValue, Value
from zotpy.inspection.data_check import DataCheck
from zotpy.inspection.looking import AT_ONCE, Look
from zotpy.inspection.pointer_check import NameCheck
from zotpy.inspection.record_check import RecordCheck
from zotpy.store.interface import StoreError

Key = tuple[Kind, Digest]


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record that is right, and what it needs."""

    needs: tuple[tuple[Key, ...], ...] = ()
    """For each of them, one of the records is enough."""
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class RepositoryCheck:
    """The check of one repository."""

    look: Look
    repo: RepositoryName

    async def run(self) -> None:
        """Check everything in the repository."""
        foreign: list[str] = []
        listing = await list_records(self.look.store, self.repo, foreign)
        for name in foreign:
            self.look.tell_foreign(name)
        for record in listing.values():
            await self.look.named.add([(data_id, "") for data_id in record.data_ids()])
        check = RecordCheck(self.look, self.repo, listing)
        found: dict[Key, CheckedRecord] = {}

        async def look(read: Callable[[Kind, Digest], Awaitable[Value | None]], kind: Kind, digest: Digest) -> None:
            try:
                if (value := await read(kind, digest)) is not None:
                    found[kind, digest] = await self._look_into(digest, value, is_lost=digest in check.lost)
            except StoreError as error:
                await self.look.tell_unreadable(f"{self.repo} {digest}", error)

        await gather(*[partial(look, check.read, *key) for key in listing], limit=AT_ONCE)
        for key in check.doubtful:
            await look(check.read_again, *key)
        names = NameCheck(self.look, self.repo, {digest for kind, digest in found if kind == "manifests"})
        for (kind, digest), one in found.items():
            if kind == "manifests":
                await self._check_needs(digest, one, found)
                if one.subject is not None:
                    await names.check_listed(digest, one.subject)
        await names.run()

    async def _look_into(self, digest: Digest, value: Value, *, is_lost: bool) -> CheckedRecord:
        """Check what a record holds, and return what it needs."""
        if isinstance(value, BlobValue):
            self.look.report.blobs += 1
            if value.data_id is not None:
                await DataCheck(self.look, self.repo).check(digest, value, is_lost=is_lost)
            return CheckedRecord()
        return self._read_manifest(digest, value)

    def _read_manifest(self, digest: Digest, value: ManifestValue) -> CheckedRecord:
        self.look.report.manifests += 1
        try:
            facts = parse_manifest(value.content, value.media_type)
        except ManifestInvalid as error:
            self._tell(digest, f"it is not a manifest that this release knows: {error}")
            return CheckedRecord()
        if value.is_mirrored:
            return CheckedRecord((), facts.subject)  # what it needs comes when a client asks for it
        may_miss = facts.guessed.union(facts.manifests) if self.look.settings.manifest.allow_sparse_indexes else ()
        named: list[Key] = [("blobs", blob) for blob in facts.blobs]
        named += [("manifests", child) for child in facts.manifests]
        needs = [
            ((kind, needed), (keys.OTHER_KIND[kind], needed)) if needed in facts.guessed else ((kind, needed),)
            for kind, needed in named
            if needed not in may_miss
        ]
        return CheckedRecord(tuple(needs), facts.subject)

    async def _check_needs(self, digest: Digest, manifest: CheckedRecord, found: dict[Key, CheckedRecord]) -> None:
        for choices in manifest.needs:
            if await self._has_any(choices, found):
                continue
            if not await self.look.exists(self.repo, "manifests", digest):
                return  # deleted since it was read
            self._tell(digest, f"it needs {choices[0][1]}, which does not exist")

    async def _has_any(self, choices: tuple[Key, ...], found: dict[Key, CheckedRecord]) -> bool:
        if any(key in found for key in choices):
            return True
        for kind, digest in choices:
            if await self.look.exists(self.repo, kind, digest):
                return True
        return False

    def _tell(self, digest: Digest, problem: str) -> None:
        self.look.tell(f"{self.repo} {digest}", problem)
