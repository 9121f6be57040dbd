"""Layouts as the source of an import: one of them, or a tree of them, in which each repository is one."""

import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid, NameInvalid
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.names import RepositoryName
from zotpy.core.units import MIB
from zotpy.layouts.index import Index, media_type_by_fields, path_of, read_index
from zotpy.layouts.layout_files import Files, directory_files
from zotpy.upstream import BlobStream, ManifestBody, NotAtUpstream, UpstreamBroken, UpstreamError

LONGEST_INDEX_BYTES = 256 * MIB
GLOBAL = "_blobstore"
"""The directory in which newer releases of zot keep the bytes of all blobs."""
HIDDEN = frozenset({"blobs", ".uploads", GLOBAL, "_trivy"})
"""Directories of a zot that contain no repositories."""
REMEMBERED = 16
"""How many layouts' indexes are remembered: more than an import copies from at once by default."""


@dataclass(eq=False, slots=True)
class _Layout:
    """One layout whose index was read."""

    index: Index
    referrers: Mapping[Digest, Sequence[Digest]] | None = None
    """The referrers by subject; `None`: nobody has looked for them yet."""
    lock: trio.Lock = field(default_factory=trio.Lock)


class LayoutSource:
    """See `zotpy.importing.sources.Source`."""

    def __init__(
        self,
        files: Files,
        names: Callable[[], Awaitable[Sequence[str]]],
        base_of: Callable[[str], str],
        longest_manifest_bytes: int,
    ) -> None:
        """`names` returns the repositories, and `base_of` where the layout of one is: a path that ends with a slash."""
        self._files = files
        self._names = names
        self._base_of = base_of
        self._longest_manifest_bytes = longest_manifest_bytes
        self._known: OrderedDict[str, _Layout] = OrderedDict()
        self._lock = trio.Lock()

    def repositories(self) -> AsyncIterator[str]:
        """See `Source`."""
        return _Later(self._names)

    def tags(self, repo: str) -> AsyncIterator[str]:
        """See `Source`."""

        async def names() -> Sequence[str]:
            return list((await self._layout(repo)).index.tags)

        return _Later(names)

    async def digest_of(self, repo: str, tag: str) -> Digest | None:
        """See `Source`."""
        listed = (await self._layout(repo)).index.tags.get(tag)
        if listed is None:
            msg = f"the layout of {repo} has no tag {tag}"
            raise NotAtUpstream(msg)
        return listed.digest

    async def manifest(self, repo: str, reference: str) -> ManifestBody:
        """See `Source`."""
        digest = Digest.parse(reference) if ":" in reference else await self.digest_of(repo, reference)
        if digest is None:
            msg = f"the layout of {repo} has no tag {reference}"
            raise NotAtUpstream(msg)
        content = await self._files.read(self._path(repo, digest), self._longest_manifest_bytes)
        found = await trio.to_thread.run_sync(Digest.of, content, digest.algorithm)
        if found != digest:
            msg = f"{self._path(repo, digest)} has the digest {found}"
            raise UpstreamBroken(msg)
        listed = (await self._layout(repo)).index.media_type_of(digest)
        return ManifestBody(content, listed or await trio.to_thread.run_sync(media_type_by_fields, content), digest)

    def blob(self, repo: str, digest: Digest) -> AbstractAsyncContextManager[BlobStream]:
        """See `Source`."""
        return self._files.open(self._path(repo, digest))

    async def referrers(self, repo: str, digest: Digest) -> Sequence[Digest]:
        """See `Source`."""
        layout = await self._layout(repo)
        async with layout.lock:
            if layout.referrers is None:
                layout.referrers = await self._look_for_referrers(repo, layout.index)
        return layout.referrers.get(digest, ())

    async def _look_for_referrers(self, repo: str, index: Index) -> Mapping[Digest, Sequence[Digest]]:
        """Read every manifest that the index lists."""
        found: dict[Digest, list[Digest]] = {}
        for digest in index.manifests:
            try:
                body = await self.manifest(repo, str(digest))
                facts = await trio.to_thread.run_sync(parse_manifest, body.content, body.media_type or None)
            except (UpstreamError, ManifestInvalid):
                continue  # if a tag needs it, its copy says what is wrong
            if facts.subject is not None:
                found.setdefault(facts.subject, []).append(digest)
        return found

    async def _layout(self, repo: str) -> _Layout:
        async with self._lock:
            if (known := self._known.get(repo)) is not None:
                self._known.move_to_end(repo)
                return known
            path = f"{self._base_of(repo)}index.json"
            content = await self._files.read(path, LONGEST_INDEX_BYTES)
            layout = self._known[repo] = _Layout(await trio.to_thread.run_sync(read_index, content, path))
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return layout

    def _path(self, repo: str, digest: Digest) -> str:
        return self._base_of(repo) + path_of(digest)


class _Later(AsyncIterator[str]):
    """Iterates over items that it looks up when the first one is asked for."""

    def __init__(self, names: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._ask = names
        self._names: Iterator[str] | None = None

    async def __anext__(self) -> str:
        if self._names is None:
            self._names = iter(await self._ask())
        for name in self._names:
            return name
        raise StopAsyncIteration


def one_layout(files: Files, name: str, longest_manifest_bytes: int) -> LayoutSource:
    """Return a source with one repository."""

    async def names() -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return [name]

    return LayoutSource(files, names, lambda _: "", longest_manifest_bytes)


def tree_of_layouts(root: Path, longest_manifest_bytes: int) -> LayoutSource:
    """Return a source with a repository for each layout below a directory, as zot keeps them."""

    async def names() -> Sequence[str]:
        return await trio.to_thread.run_sync(partial(_names_below, root))

    return LayoutSource(directory_files(root), names, lambda repo: f"{repo}/", longest_manifest_bytes)


def _names_below(root: Path) -> Sequence[str]:
    """Find the layouts. One may be inside the directory of another. Raises `NotAtUpstream`."""
    found = []
    if not root.is_dir():
        msg = f"{root} is not a directory"
        raise NotAtUpstream(msg)
    for directory, below, files in os.walk(root):
        here = Path(directory).relative_to(root).as_posix()
        if "index.json" in files and is_name(here):
            found.append(here)
        below[:] = sorted(name for name in below if name not in HIDDEN)
    return found


def is_name(text: str) -> bool:
    """Say whether a repository can have this name."""
    try:
        RepositoryName.parse(text)
    except NameInvalid:
        return False
    return True
