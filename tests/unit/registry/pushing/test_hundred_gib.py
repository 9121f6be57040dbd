"""100 GiB through the real uploads, over a store that keeps no bytes of parts: sizes, numbers, order, memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import REPO, Sent
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobTooLarge
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import Settings
from zotpy.store.interface import Part, Stored
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from zotpy.core.pieces import Buffer
    from zotpy.store.interface import Body

GIB = 1024 * MIB
PIECE = bytes(8 * MIB)
DIGEST = Digest.of(b"whatever was sent")
SETTINGS = Settings()


class NullHasher:
    """Counts instead of hashing; its digest is always the same."""

    algorithm = "sha256"

    def __init__(self, hashed_bytes: int = 0) -> None:
        """Go on from a count."""
        self.hashed_bytes = hashed_bytes

    def update(self, data: Buffer) -> None:
        """Count."""
        self.hashed_bytes += len(data)

    def digest(self) -> Digest:
        """Return the digest."""
        return DIGEST

    def export(self) -> bytes:
        """Return the count."""
        return b"%d" % self.hashed_bytes


@dataclass
class Ledger(MemoryStore):
    """Keeps of each part its length alone, and of a completed multipart the list it was completed with."""

    lengths: dict[int, int] = field(default_factory=dict)
    completed: list[int] = field(default_factory=list)

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.lengths = {}
        self.completed = []

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """Note a part; one that was the end of a first chunk may come again, longer, and no other."""
        assert self.multiparts[multipart_id].key == key
        assert self.lengths.get(number, 0) < len(body)
        self.lengths[number] = len(body)
        return Part(number, f"etag-{number}", f"crc-{number}")

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """Note the list."""
        assert self.multiparts.pop(multipart_id).key == key
        assert [(part.etag, part.crc32c) for part in parts] == [(f"etag-{p.number}", f"crc-{p.number}") for p in parts]
        self.completed = [part.number for part in parts]
        return Stored("etag", self.now())


def zeros(size_bytes: int) -> Sent:
    """Return a body of the same piece again and again."""

    def pieces() -> Iterator[bytes]:
        yield from (PIECE for _ in range(size_bytes // len(PIECE)))
        yield PIECE[: size_bytes % len(PIECE)]

    return Sent(pieces())


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a store for many bytes, which nobody hashes."""
    monkeypatch.setattr("zotpy.core.upload_state.new_hasher", lambda _algorithm: NullHasher())
    monkeypatch.setattr("zotpy.core.upload_state.resume_hasher", lambda _algorithm, state: NullHasher(int(state)))
    return Ledger()


async def open_large(ledger: Ledger) -> Registry:
    """Open a replica with the default settings and budget."""
    budget = MemoryBudget(512 * MIB, SETTINGS.upload.part_size_bytes + MIB)
    return await open_registry(ledger, SETTINGS, budget)


def assert_whole(ledger: Ledger, size_bytes: int) -> None:
    """Check that each part is there once and the blob was made of all of them, in order."""
    assert len(ledger.lengths) <= 10_000
    assert ledger.completed == sorted(ledger.lengths) == list(range(1, len(ledger.lengths) + 1))
    assert sum(ledger.lengths.values()) == size_bytes
    assert ledger.multiparts == {}


async def test_a_blob_of_100_gib_in_one_request_of_known_length(ledger: Ledger) -> None:
    """It goes in 9,310 parts of 11 MiB, and holds no more memory than the parts in flight and the one being filled."""
    size = 100 * GIB + 12_345
    registry = await open_large(ledger)
    session = registry.uploads.begin(REPO, "sha256")
    value = await registry.uploads.finish(session, DIGEST, zeros(size), None, size)
    assert value.size_bytes == size
    assert_whole(ledger, size)
    assert {ledger.lengths[number] for number in range(1, len(ledger.lengths))} == {11 * MIB}
    assert registry.budget.peak_bytes <= SETTINGS.upload.parts_in_flight * SETTINGS.upload.part_size_bytes + 11 * MIB
    assert registry.budget.used_bytes == 0


async def test_a_blob_of_100_gib_in_chunks_of_unknown_length(ledger: Ledger) -> None:
    """Four chunks through four replicas: parts double after each 1,000, wherever chunks and replicas change."""
    sizes = [3 * GIB, 40 * GIB + 7 * MIB + 1, 56 * GIB, GIB - 77]
    replicas = [await open_large(ledger) for _ in sizes]
    session = replicas[0].uploads.begin(REPO, "sha256")
    for replica, size in zip(replicas, sizes, strict=True):
        session = await replica.uploads.chunk(session, zeros(size), None, None)
        session = await replica.uploads.status(session)
    assert session.token.offset == sum(sizes)
    value = await replicas[0].uploads.finish(session, DIGEST, zeros(0), None, 0)
    assert value.size_bytes == sum(sizes)
    assert_whole(ledger, sum(sizes))
    largest = max(ledger.lengths.values())
    assert largest == 64 * MIB
    in_flight = max(largest, SETTINGS.upload.parts_in_flight * SETTINGS.upload.part_size_bytes)
    for replica in replicas:
        assert replica.budget.peak_bytes <= in_flight + largest
        assert replica.budget.used_bytes == 0
    unlike = [number for number, length in ledger.lengths.items() if length != 8 * MIB << (number - 1) // 1000]
    assert len(unlike) <= len(sizes)  # the end of a chunk is sent where it is too long to be kept in the state


@pytest.mark.parametrize("last", [True, False])
async def test_a_blob_that_cannot_fit_is_refused_before_its_body_is_read(ledger: Ledger, *, last: bool) -> None:
    """A length above what 10,000 of the largest parts hold is refused at once, in one request and as a chunk."""
    registry = await open_large(ledger)
    size = 6 * 10**12

    def pieces() -> Iterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    session = registry.uploads.begin(REPO, "sha256")
    request: Callable[[], Awaitable[object]]
    if last:
        request = partial(registry.uploads.finish, session, DIGEST, Sent(pieces()), None, size)
    else:
        request = partial(registry.uploads.chunk, session, Sent(pieces()), Span(0, size), None)
    with pytest.raises(BlobTooLarge):
        await request()
    session = await registry.uploads.chunk(session, zeros(10), None, 10)
    with pytest.raises(BlobTooLarge):
        await registry.uploads.chunk(session, Sent(pieces()), None, size)
    assert (await registry.uploads.status(session)).token.offset == 10


async def test_a_stream_that_uses_up_its_parts_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no part is left a byte more is refused, and what was sent is dropped."""
    monkeypatch.setattr("zotpy.core.parts.LARGEST_COUNT", 5)
    registry = await open_large(ledger)
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(BlobTooLarge, match=r"upload\.memoryBudget"):
        await registry.uploads.chunk(session, zeros(5 * SETTINGS.upload.part_size_bytes + 1), None, None)
    assert ledger.multiparts == {}
    assert registry.budget.used_bytes == 0
    ledger.lengths.clear()
    value = await registry.uploads.finish(session, DIGEST, zeros(5 * SETTINGS.upload.part_size_bytes), None, None)
    assert value.size_bytes == 5 * SETTINGS.upload.part_size_bytes
