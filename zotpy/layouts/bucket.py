"""The bucket of a zot: a tree of layouts behind S3, in which most blobs may be links.

With `dedupe`, zot stores each blob once. For every other copy it writes an empty object, and notes in a database of its
own where the bytes are. Here they are found without that database: some object with the same digest in its name has
them.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import trio

from zotpy.core.digests import Digest
from zotpy.layouts.source import GLOBAL, HIDDEN, LayoutSource, is_name
from zotpy.store.interface import KeyMissing, Listed, Store, StoreError
from zotpy.upstream import BlobStream, NotAtUpstream, PieceIterator, UpstreamBroken, UpstreamUnavailable

PAGE = 1000
MOST_OBJECTS = 5_000_000
"""How many objects of the bucket are listed to find the bytes behind links."""


class BucketFiles:
    """See `zotpy.layouts.layout_files.Files`. The store is only read."""

    def __init__(self, store: Store) -> None:
        """Ask nobody yet. The repositories are at the top of `store`."""
        self._store = store
        self._origins: Mapping[str, Listed] | None = None
        self._lock = trio.Lock()

    async def names(self) -> Sequence[str]:
        """Return the names of all repositories."""
        found, waiting = list[str](), [""]
        while waiting:
            directory, after, more = waiting.pop(), "", True
            while more:
                with _as_source(directory):
                    page = await self._store.list(directory, start_after=after, limit=PAGE, directories=True)
                keys = [listed.key for listed in page.objects]
                if f"{directory}index.json" in keys and is_name(directory[:-1]):
                    found.append(directory[:-1])
                waiting += [each for each in page.directories if each.split("/")[-2] not in HIDDEN]
                after = max([*keys, *page.directories], default="")
                more = page.truncated and bool(after)
        return sorted(found)

    async def read(self, path: str, most_bytes: int) -> bytes:
        """See `Files`."""
        listed = await self._find(path)
        if listed.size_bytes > most_bytes:
            msg = f"{path} is longer than {most_bytes} bytes"
            raise UpstreamBroken(msg)
        if not listed.size_bytes:
            return b""
        with _as_source(path):
            async with self._store.open(listed.key, 0, listed.size_bytes) as pieces:
                return b"".join([piece async for piece in pieces])

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[BlobStream]:
        """See `Files`."""
        listed = await self._find(path)
        if not listed.size_bytes:
            yield _Stream(None, 0)
            return
        async with AsyncExitStack() as stack:
            with _as_source(path):
                pieces = await stack.enter_async_context(self._store.open(listed.key, 0, listed.size_bytes))
            yield _Stream(pieces, listed.size_bytes)

    async def _find(self, path: str) -> Listed:
        """Return the object that has the bytes."""
        found = await self._listed(path)
        if found is None:
            msg = f"{path} does not exist"
            raise NotAtUpstream(msg)
        algorithm, _, encoded = path.rpartition("blobs/")[2].partition("/")
        if found.size_bytes or not encoded or Digest.of(b"", algorithm).hex == encoded:
            return found
        if (kept := await self._listed(f"{GLOBAL}/blobs/{algorithm}/{encoded}")) is not None and kept.size_bytes:
            return kept
        async with self._lock:
            if self._origins is None:
                self._origins = await self._look_for_origins()
        origin = self._origins.get(f"{algorithm}/{encoded}")
        if origin is None:
            msg = f"{path} is a link, and no object has its bytes"
            raise NotAtUpstream(msg)
        return origin

    async def _listed(self, path: str) -> Listed | None:
        with _as_source(path):
            page = await self._store.list(path, limit=1)
        return next((listed for listed in page.objects if listed.key == path), None)

    async def _look_for_origins(self) -> Mapping[str, Listed]:
        """List everything, and remember one object with bytes for each digest."""
        found: dict[str, Listed] = {}
        after, more, seen = "", True, 0
        while more:
            with _as_source(after):
                page = await self._store.list("", start_after=after, limit=PAGE)
            for listed in page.objects:
                before, blobs, digest = listed.key.rpartition("/blobs/")
                if blobs and before and listed.size_bytes:
                    found.setdefault(digest, listed)
            seen += len(page.objects)
            if seen > MOST_OBJECTS:
                msg = f"the bucket has more than {MOST_OBJECTS} objects: let zot serve it, and import from there"
                raise UpstreamBroken(msg)
            after = page.objects[-1].key if page.objects else ""
            more = page.truncated and bool(after)
        return found


class _Stream(PieceIterator):
    """See `zotpy.upstream.BlobStream`."""

    def __init__(self, pieces: AsyncIterator[bytes] | None, length: int) -> None:
        super().__init__(length)
        self._pieces = pieces

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            raise StopAsyncIteration
        with _as_source("a blob"):
            return await anext(self._pieces)


@contextmanager
def _as_source(what: str) -> Iterator[None]:
    """Turn errors of the source's store into errors of an upstream: our own store has not failed."""
    try:
        yield
    except KeyMissing as error:
        msg = f"{what} does not exist"
        raise NotAtUpstream(msg) from error
    except StoreError as error:
        msg = f"the bucket of the source: {error}"
        raise UpstreamUnavailable(msg) from error


def bucket_of_layouts(store: Store, longest_manifest_bytes: int) -> LayoutSource:
    """Return a source with a repository for each layout at the top of a store."""
    files = BucketFiles(store)
    return LayoutSource(files, files.names, lambda repo: f"{repo}/", longest_manifest_bytes)
