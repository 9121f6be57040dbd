"""Copies of blobs from an upstream, as replicas make them for their clients, with real turns and real uploads.

The upstream is drawn: it may break off, and it may send other bytes to one of the replicas.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tests.simulation.checks import Broken
from tests.simulation.contents import BLOBS, NAMES
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import Unwatched
from zotpy.mirror.fetching import BlobFetch
from zotpy.mirror.rules import Origin
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.mirror.window import Window
from zotpy.settings.mirror import MirroredRegistry, MirroredTags
from zotpy.store.interface import StoreUnavailable
from zotpy.upstream.answers import PieceIterator
from zotpy.upstream.errors import UpstreamUnavailable

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.simulation.calls import Actor
    from tests.simulation.history import Operation
    from tests.simulation.scheduler import Scheduler
    from zotpy.core.digests import Digest
    from zotpy.mirror.events import Copied
    from zotpy.registry.registry import Registry
    from zotpy.upstream.registry import UpstreamRegistry

PIECE_BYTES = 16
"""How many bytes come from the upstream at once: as many as a part has, and as lie between two saved states."""
MIRRORED = MirroredRegistry(("https://upstream.invalid",))


class _Pieces(PieceIterator):
    """The bytes of one answer."""

    def __init__(self, content: bytes, start: int, wait: Callable[[], Awaitable[None]]) -> None:
        """Begin at `start`, and `wait` before each piece."""
        super().__init__(len(content))
        self._rest = content[start:]
        self._wait = wait

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        await self._wait()
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        return piece


@dataclass(frozen=True, slots=True)
class DrawnUpstream:
    """The blobs of an upstream, as one replica reads them; see `zotpy.upstream.registry.UpstreamRegistry`."""

    actor: Actor
    scheduler: Scheduler
    rng: random.Random
    wrong: float
    """The share of the answers that have other bytes."""

    @asynccontextmanager
    async def blob(self, _: str, digest: Digest, start: int = 0) -> AsyncIterator[_Pieces]:
        """Answer with a blob from `start` on."""
        await self._wait()
        content = BLOBS[digest]
        if self.rng.random() < self.wrong:
            at = self.rng.randrange(len(content))
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            self.scheduler.note(self.actor.name, "is sent others", str(digest), f"byte {at}")
        yield _Pieces(content, start, self._wait)

    async def _wait(self) -> None:
        """Let the scheduler decide when the next bytes come, and whether they do."""
        if self.actor.crashed:
            msg = "this process was killed"
            raise UpstreamUnavailable(msg)
        try:
            await self.scheduler.park(self.actor, "read", "upstream", _nothing)
        except StoreUnavailable as error:
            msg = "the upstream broke off"
            raise UpstreamUnavailable(msg) from error


class _CheckedCopy(Copy):
    """A copy that looks at what its readers get."""

    def __init__(self, registry: Registry, digest: Digest) -> None:
        """Have no readers: the window holds all bytes."""
        super().__init__(Window(registry.blobs.readers), _not_read, _not_read)
        self._digest = digest

    def confirm(self) -> None:
        """Raise `Broken` if readers got other bytes, and are about to be told that they are right."""
        at, found = self.window.start, b""
        while at + len(found) < self.window.end:
            found += self.window.read(at + len(found))
        if found != BLOBS[self._digest][self.first :]:
            msg = f"readers of {NAMES[str(self._digest)]} got other bytes"
            raise Broken(msg)
        super().confirm()


class _Promises(Unwatched):
    """Promises the blob, like an upload, unless another replica has brought it: then no lease is renewed."""

    def __init__(self, operation: Operation) -> None:
        """Promise nothing yet."""
        self._operation = operation

    def on_mirror_copy(self, outcome: Copied) -> None:
        """See `MirrorEvents`."""
        if outcome in {"copied", "linked"}:
            self._operation.what = "keep blob"


def fetch(operation: Operation, registry: Registry, upstream: DrawnUpstream) -> BlobFetch:
    """Prepare the copy of a blob to the repository of `operation`."""
    repo, digest = operation.repo, operation.digest
    assert digest is not None
    client = cast("UpstreamRegistry", upstream)
    upstreams = Upstreams({MIRRORED: (Upstream(MIRRORED.urls[0], client, client, client),)})
    origins = (Origin(MIRRORED, repo, MirroredTags()),)
    return BlobFetch(registry, upstreams, _Promises(operation), origins, repo, digest, _CheckedCopy(registry, digest))


def _not_read(*_: object, **__: object) -> Any:
    msg = "nobody reads here"
    raise AssertionError(msg)


async def _nothing() -> None:
    return None
