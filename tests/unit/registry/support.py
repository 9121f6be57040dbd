"""Replicas over one store in memory, bodies, and a store whose next steps a test decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trio

from zotpy.bucket.layout import OLDEST
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ClientStalled
from zotpy.core.framing import frame
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.units import KIB, MIB
from zotpy.core.upload_state import UploadState
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import GcSettings, ManifestSettings, Settings, UploadSettings
from zotpy.store.interface import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Store
    from zotpy.store.memory_store import MemoryStore

REPO = RepositoryName.parse("team/app")
OTHER = RepositoryName.parse("team/other")
PART_BYTES = 128 * KIB
"""Small, so that a few hundred KiB make several parts; more than a blob may have that lives in its entry."""
BUDGET_BYTES = 16 * PART_BYTES
DEADLINE_S = 60.0
NO_CONDITIONS = Features(conditional_create=False, conditional_replace=False, conditional_delete=False)


async def older_bucket(store: Store) -> None:
    """Let the bucket be one of an older release: small blobs have leases, which others than their entries hold."""
    await store.put(keys.LAYOUT, frame(OLDEST))


async def open_replica(
    store: Store,
    *,
    grace_s: float = 24 * 3600.0,
    manifest_limit_bytes: int = 64 * KIB,
    sparse: bool = False,
    checkpoint_bytes: int = 256 * MIB,
    deadline_s: float = 600.0,
    parts_in_flight: int = 6,
) -> Registry:
    """Open one replica over a store."""
    settings = Settings(
        upload=UploadSettings(
            part_size_bytes=PART_BYTES, checkpoint_bytes=checkpoint_bytes, parts_in_flight=parts_in_flight
        ),
        gc=GcSettings(grace_s=grace_s, deadline_s=deadline_s),
        manifest=ManifestSettings(max_size_bytes=manifest_limit_bytes, allow_sparse_indexes=sparse),
    )
    return await open_registry(store, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES))


def content(size_bytes: int, seed: int = 1) -> bytes:
    """Return bytes that do not repeat at the length of a part."""
    period = bytes((seed * number * number + number) % 251 for number in range(997))
    return (period * (size_bytes // len(period) + 1))[:size_bytes]


class Sent:
    """A body that comes in pieces; unlike a generator it needs no closing when it is left half read."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        """End after the pieces, with `error` if there is one."""
        self._pieces = iter(pieces)
        self._error = error

    def __aiter__(self) -> Sent:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        await trio.lowlevel.checkpoint()
        piece = next(self._pieces, None)
        if piece is not None:
            return piece
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


class Fed:
    """A body that a test sends piece by piece."""

    def __init__(self) -> None:
        """Have nothing to send yet."""
        self._send, self._receive = trio.open_memory_channel[bytes](100)

    def feed(self, *pieces: bytes) -> None:
        """Send pieces."""
        for piece in pieces:
            self._send.send_nowait(piece)

    def end(self) -> None:
        """Send no more."""
        self._send.close()

    def __aiter__(self) -> Fed:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


def sent(*pieces: bytes) -> Sent:
    """Return a body that comes in these pieces."""
    return Sent(pieces)


def cut(*pieces: bytes) -> Sent:
    """Return a body that breaks off after these pieces."""
    return Sent(pieces, ClientStalled("the client closed the connection before the end of the body"))


async def push(registry: Registry, body: bytes, repo: RepositoryName = REPO, algorithm: str = "sha256") -> Digest:
    """Push a blob in one request and return its digest."""
    digest = Digest.of(body, algorithm)
    session = registry.uploads.begin(repo, algorithm)
    await registry.uploads.finish(session, digest, sent(body), None, len(body))
    return digest


async def pull(registry: Registry, digest: Digest, repo: RepositoryName = REPO) -> bytes:
    """Read a blob whole."""
    value = await registry.blobs.find(repo, digest)
    async with registry.blobs.open(value, Span(0, value.size_bytes)) as chunks:
        return b"".join([bytes(chunk) async for chunk in chunks])


def keys_below(store: MemoryStore, prefix: str) -> list[str]:
    """Return the keys of a store that begin with `prefix`, in order."""
    return sorted(key for key in store.objects if key.startswith(prefix))


def state_of(store: MemoryStore) -> UploadState:
    """Read the state of the only upload."""
    [key] = keys_below(store, keys.UPLOADS)
    return UploadState.decode(store.objects[key].body)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what comes about in other tasks, and threads, of this process."""
    with trio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await trio.sleep(0.01)


@dataclass(eq=False, slots=True)
class Clock:
    """The clock of a store, which moves only when it is told to."""

    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.time += timedelta(seconds=seconds)


@dataclass(eq=False, slots=True)
class Step:
    """What happens the next time that an operation on a key comes by; it happens once."""

    moment: Moment
    operation: str
    prefix: str
    error: Exception | None = None
    reached: trio.Event = field(default_factory=trio.Event)
    go_on: trio.Event = field(default_factory=trio.Event)

    async def happen(self) -> None:
        """Fail, or wait until the test lets it go on."""
        self.reached.set()
        if self.error is not None:
            raise self.error
        await self.go_on.wait()


@dataclass(eq=False, slots=True)
class Script:
    """The faults of a store, set by the test one at a time."""

    steps: list[Step] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    """How often each operation was begun."""

    def park(self, moment: Moment, operation: str, prefix: str = "") -> Step:
        """Stop the next such operation until `go_on` is set."""
        return self._add(Step(moment, operation, prefix))

    def fail(self, moment: Moment, operation: str, prefix: str, error: Exception) -> Step:
        """Let the next such operation fail."""
        return self._add(Step(moment, operation, prefix, error))

    def _add(self, step: Step) -> Step:
        self.steps.append(step)
        return step

    async def __call__(self, moment: Moment, operation: str, key: str) -> None:
        """See `Faults`."""
        self.begun[operation] += moment == "before"
        for step in self.steps:
            if (step.moment, step.operation) == (moment, operation) and key.startswith(step.prefix):
                self.steps.remove(step)
                await step.happen()
                return
