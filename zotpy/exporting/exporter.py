"""One repository written into one layout: blobs, manifests, and the index last."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import trio

from zotpy.concurrency import gather
from zotpy.core.companions import companion_of
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestUnknown
from zotpy.core.manifest_facts import ManifestFacts, parse_manifest
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.ranges import Span
from zotpy.importing.selection import Selection
from zotpy.layouts.index import REF_NAME
from zotpy.layouts.writing import LayoutWriter, WrongContent
from zotpy.registry.blobs import open_inline
from zotpy.registry.lists import Page
from zotpy.registry.manifest_reads import FoundManifest
from zotpy.registry.registry import Registry

MISSING = (ManifestUnknown, BlobUnknown, WrongContent)
"""What is raised for content that is lost or damaged in the store."""


class NoTagMatches(Exception):
    """No tag of the repository is wanted, so its layout is left as it is."""


async def all_names(read: Callable[[str], Awaitable[Page]]) -> Sequence[str]:
    """Return a list whole. `read` returns the page after a name."""
    found: list[str] = []
    more = True
    while more:
        page = await read(found[-1] if found else "")
        found += page.names
        more = page.more and bool(page.names)
    return found


@dataclass(slots=True)
class Exported:
    """What an export has done so far."""

    repositories: int = 0
    tags: int = 0
    manifests: int = 0
    referrers: int = 0
    blobs_written: int = 0
    blobs_present: int = 0
    bytes_written: int = 0
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Why the run did not come to its end."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(eq=False, slots=True)
class Exporter:
    """Writes one repository. Use once."""

    registry: Registry
    repo: RepositoryName
    writer: LayoutWriter
    exported: Exported
    selection: Selection
    at_once: int
    """How many blobs are read at once."""
    _listed: dict[tuple[Digest, str], dict[str, Any]] = field(default_factory=dict)
    _done: set[Digest] = field(default_factory=set)

    async def run(self) -> None:
        """Write all tags that are wanted, then the index.

        Raises `NoTagMatches`, `RegistryError`, `StoreError`, `OSError`.
        """
        tags = await self._tags()
        wanted = [tag for tag in tags if self.selection.wants_tag(self.repo.text, tag)]
        if self.selection.tags and not wanted:
            raise NoTagMatches
        companions = {tag: its_stem for tag in tags if (its_stem := companion_of(tag)) is not None}
        for tag in wanted:
            if tag not in companions:
                await self._tag(tag)
        for tag in self.selection.belonging(self.repo.text, companions, self._done):
            await self._tag(tag)
        await self.writer.finish(list(self._listed.values()))
        self.exported.repositories += 1

    async def _tags(self) -> Sequence[str]:
        return await all_names(partial(self.registry.lists.tags, self.repo, None))

    async def _tag(self, tag: str) -> None:
        """Write what a tag names, unless it was deleted since it was listed."""
        try:
            found = await self.registry.manifests.find(self.repo, Tag(tag))
        except ManifestUnknown:
            return
        try:
            await self._manifest(found)
        except MISSING as error:
            self.exported.problems.append(f"{self.repo}:{tag}: {error}")
            return
        self._list(found, tag)
        self.exported.tags += 1

    async def _manifest(self, found: FoundManifest) -> None:
        """Write a manifest with all that it names, and with its referrers."""
        if found.digest in self._done:
            return
        content = found.value.content
        facts = await trio.to_thread.run_sync(parse_manifest, content, found.value.media_type)
        await gather(*[partial(self._blob, facts, digest) for digest in facts.blobs], limit=self.at_once)
        for digest in facts.foreign:
            with suppress(BlobUnknown):  # it need not be here
                await self._blob(facts, digest)
        for digest in facts.manifests:
            await self._child(facts, digest)
        await self._write(found.digest, len(content), content)
        self._done.add(found.digest)
        self.exported.manifests += 1
        if self.selection.referrers:
            await self._referrers(found.digest)

    async def _child(self, facts: ManifestFacts, digest: Digest) -> None:
        """Write a manifest that an index names. A part of an index may be missing, or be a blob."""
        try:
            found = await self.registry.manifests.find(self.repo, digest)
        except ManifestUnknown:
            if digest in facts.guessed:
                await self._blob(facts, digest)
            elif not self.registry.settings.manifest.allow_sparse_indexes:
                raise
            return
        await self._manifest(found)

    async def _referrers(self, subject: Digest) -> None:
        last: str | None = ""
        while last is not None:
            page = await self.registry.referrers.page(self.repo, subject, None, last)
            for descriptor in page.descriptors:
                digest = Digest.parse(descriptor["digest"])
                try:
                    found = await self.registry.manifests.find(self.repo, digest)
                except ManifestUnknown:
                    continue  # deleted since it was listed
                try:
                    await self._manifest(found)
                except MISSING as error:
                    self.exported.problems.append(f"{self.repo}@{digest}: {error}")
                    continue
                self._list(found, "")
                self.exported.referrers += 1
            last = page.last

    async def _blob(self, facts: ManifestFacts, digest: Digest) -> None:
        blobs = self.registry.blobs
        try:
            value = await blobs.find(self.repo, digest)
        except BlobUnknown:
            if digest in facts.guessed:
                await self._manifest(await self.registry.manifests.find(self.repo, digest))
                return
            raise
        if await self.writer.has(digest, value.size_bytes):
            self.exported.blobs_present += 1
            return
        async with blobs.serve(self.repo, digest, value, Span(0, value.size_bytes)) as pieces:
            await self.writer.write(digest, value.size_bytes, pieces)
        self.exported.blobs_written += 1
        self.exported.bytes_written += value.size_bytes

    async def _write(self, digest: Digest, length: int, content: bytes) -> None:
        if not await self.writer.has(digest, length):
            async with open_inline(content, Span(0, length)) as pieces:
                await self.writer.write(digest, length, pieces)
            self.exported.bytes_written += length

    def _list(self, found: FoundManifest, tag: str) -> None:
        descriptor: dict[str, Any] = {
            "mediaType": found.value.media_type,
            "digest": str(found.digest),
            "size": len(found.value.content),
        }
        if tag:
            descriptor["annotations"] = {REF_NAME: tag}
        self._listed[found.digest, tag] = descriptor
