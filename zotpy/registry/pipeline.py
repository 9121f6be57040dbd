r"""From a body to parts in the store: hashed once, in order, and sent several at once, within the memory budget.

::

    body --bytes--> [part being filled] --full--> hashing, in a thread, in order
                                            \---> sending, up to `parts_in_flight`, in any order

A part's memory is given back when it was both hashed and acknowledged. The body is asked for more only when the budget
has room, so a slow store slows the client down and nothing else. What is left below one part at the end (the *tail*)
stays with the caller: the next chunk, or the commit, knows what to do with it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import trio

from zotpy.core import keys
from zotpy.core.errors import ClientStalled
from zotpy.core.hashing import Hasher
from zotpy.core.pieces import Pieces
from zotpy.core.uploads import SentPart, UploadState
from zotpy.registry.budget import Account
from zotpy.registry.concurrency import plain_errors
from zotpy.registry.settings import KIB
from zotpy.store.interface import Store

THREAD_LIMIT_BYTES = 128 * KIB
"""Fewer bytes than this are hashed on the spot: a thread's hand-over would cost more."""
Body = AsyncIterator[bytes]


async def hash_pieces(hasher: Hasher, pieces: Pieces, skip_bytes: int = 0) -> None:
    """Hash all but the first `skip_bytes`, in a thread, or on the spot where that is cheaper."""

    def update() -> None:
        for piece in pieces.after(skip_bytes):
            hasher.update(piece)

    if len(pieces) < THREAD_LIMIT_BYTES:
        update()
    else:
        await trio.to_thread.run_sync(update)


@dataclass(eq=False, slots=True)
class _PartInFlight:
    number: int
    body: Pieces
    pending: int = 2  # hashing and sending


@dataclass(eq=False)
class PartPipeline:
    """Takes in one request's body for one upload. Use once."""

    store: Store
    parts_in_flight: int
    account: Account
    state: UploadState
    hasher: Hasher | None
    """`None` where the digest can only be told by reading back."""
    cut: ClientStalled | None = None
    """Why the body ended before its end, if it did: the bytes before the cut are safe all the same."""
    _parts: dict[int, SentPart] = field(default_factory=dict)
    _multipart: trio.Lock = field(default_factory=trio.Lock)

    async def run(self, body: Body) -> UploadState:
        """Take in `body` to its end, or to where it was cut, and return the state after it.

        Raises `StoreError` if a part cannot be sent; parts under way are then stopped. The multipart, if one was
        begun, is named by `self.state` in every case.
        """
        await self.account.acquire(len(self.state.tail))
        self._slots = trio.Semaphore(self.parts_in_flight)
        self._filling = Pieces()
        for piece in self.state.tail.blocks():
            self._filling.append(piece)
        self._next_number = len(self.state.parts) + 1
        self._received = 0
        with plain_errors():
            async with trio.open_nursery() as self._nursery:
                to_hash, hashing = trio.open_memory_channel[_PartInFlight | Pieces](0)
                self._to_hash = to_hash
                self._nursery.start_soon(self._hash, hashing)
                async with to_hash:
                    try:
                        async for chunk in body:
                            await self._take(chunk)
                    except ClientStalled as error:
                        self.cut = error
                    await to_hash.send(self._filling)
        return self._result()

    def raise_cut(self) -> None:
        """Raise `ClientStalled` if the body ended before its end."""
        if self.cut is not None:
            raise self.cut

    def _result(self) -> UploadState:
        return replace(
            self.state,
            offset=self.state.offset + self._received,
            parts=self.state.parts + tuple(self._parts[number] for number in sorted(self._parts)),
            hash_state=None if self.hasher is None else self.hasher.export(),
            tail=self._filling,
        )

    async def _take(self, chunk: bytes) -> None:
        """Add bytes to the part being filled; a part goes out when a byte comes that it has no room for."""
        await self.account.acquire(len(chunk))
        self._received += len(chunk)
        view = memoryview(chunk)
        while len(view) > (room := self.state.part_size_bytes - len(self._filling)):
            self._filling.append(view[:room])
            view = view[room:]
            await self._dispatch()
        self._filling.append(view if len(view) < len(chunk) else chunk)

    async def _dispatch(self) -> None:
        part = _PartInFlight(self._next_number, self._filling)
        self._next_number += 1
        self._filling = Pieces()
        self.account.part_is_full()
        await self._slots.acquire()
        self._nursery.start_soon(self._send, part)
        await self._to_hash.send(part)

    async def _hash(self, parts: "trio.MemoryReceiveChannel[_PartInFlight | Pieces]") -> None:
        """Hash the parts in order, then the tail; bytes of an earlier request's tail were hashed by that request."""
        hashed_already = len(self.state.tail)
        async with parts:
            async for part in parts:
                body = part.body if isinstance(part, _PartInFlight) else part
                if self.hasher is not None:
                    await hash_pieces(self.hasher, body, hashed_already)
                hashed_already = 0
                if isinstance(part, _PartInFlight):
                    self._settle(part)

    async def _send(self, part: _PartInFlight) -> None:
        data_id, multipart_id = await self._ensure_multipart()
        sent = await self.store.put_part(keys.data(data_id), multipart_id, part.number, part.body)
        self._parts[part.number] = SentPart(sent.number, sent.etag, sent.crc32c)
        self._slots.release()
        self._settle(part)

    def _settle(self, part: _PartInFlight) -> None:
        part.pending -= 1
        if part.pending == 0:
            self.account.release(len(part.body))
            part.body = Pieces()

    async def _ensure_multipart(self) -> tuple[str, str]:
        """Begin the multipart with the first part, while the body goes on being read."""
        async with self._multipart:
            if self.state.data_id is None or self.state.multipart_id is None:
                data_id = keys.new_id()
                multipart_id = await self.store.create_multipart(keys.data(data_id))
                self.state = replace(self.state, data_id=data_id, multipart_id=multipart_id)
        assert self.state.data_id is not None  # noqa: S101 - for the type checker
        assert self.state.multipart_id is not None  # noqa: S101 - for the type checker
        return self.state.data_id, self.state.multipart_id
