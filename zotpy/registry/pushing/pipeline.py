r"""From a body to parts in the store: hashed once, in order, and sent several at once, within the memory budget.

::

    body --bytes--> [part being filled] --full--> hashing, in a thread, in order
                                            \---> sending, several at once, in any order

A part is *settled* when it was both hashed and acknowledged. Its memory is then given back. The pipeline asks the body
for more only when the budget has room, so a slow store slows down this client and nothing else. The *tail* is what is
left below one part at the end. It stays with the caller: the next chunk, or the commit, knows what to do with it.

After a fixed number of bytes comes a checkpoint. Once all parts up to it are settled, the caller gets a state to save,
as if the body had ended there, while the body goes on. The hash's state is taken when the hash passes that place.

If the body may be all of the blob, the tail is sent as a part as well, beside those under way.

Most bodies are shorter than a part, and nothing is sent while they come. For them no nursery is opened, and nothing is
made that only parts need.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from zotpy.concurrency import plain_errors
from zotpy.core.errors import ClientStalled
from zotpy.core.hashing import Hasher
from zotpy.core.pieces import SMALL_BYTES, Pieces
from zotpy.core.upload_state import BegunMultipart, SentPart, UploadState
from zotpy.memory.accounts import Account
from zotpy.registry.pushing.body_hashing import BodyHashing
from zotpy.registry.pushing.checkpoints import Checkpoint, Checkpoints
from zotpy.registry.pushing.in_flight import Limits, PartInFlight, PartsInFlight
from zotpy.registry.pushing.kept import take_back
from zotpy.registry.pushing.part_sending import PartSender
from zotpy.store.interface import Store

Body = AsyncIterator[bytes]


def _nothing(*_: object) -> None:
    """Take no note."""


@dataclass(eq=False)
class PartPipeline:
    """Takes one request's body for one upload. Use once."""

    store: Store
    limits: Limits
    account: Account
    state: UploadState
    hasher: Hasher | None
    """`None` if the digest can only be told by reading back."""
    checkpoint: Checkpoint | None = None
    """`None` if the body is the upload's last: a client that sends it again begins it anew."""
    may_be_all: bool = False
    """The body may be the whole blob, although another may follow."""
    cut: ClientStalled | None = None
    """Why the body ended before its end, if it did. The bytes before the cut are safe all the same."""
    on_begun: Callable[[], None] = _nothing
    """Called when the account holds the tail of the request before."""
    on_hashed: Callable[[], None] = _nothing
    """Called when `hasher` has all bytes, while parts may still be under way to the store."""
    _filling: Pieces = field(default_factory=Pieces)
    _beyond: bytes = b""
    """Received, and not taken yet: it does not fit into the first part."""
    _parts: dict[int, SentPart] = field(default_factory=dict)
    _tail_part: SentPart | None = None
    _hashing: BodyHashing = field(init=False)
    _sender: PartSender = field(init=False)
    _checkpoints: Checkpoints = field(init=False)
    _in_flight: PartsInFlight = field(init=False)
    _sends_parts: bool = field(default=False, init=False)
    """If not, the sender, the checkpoints and the parts in flight do not exist."""

    def __post_init__(self) -> None:
        self._hashing = BodyHashing(self.hasher, self._settle, self._hashed_all)

    async def run(self, body: Body) -> UploadState:
        """Take `body` to its end, or to where it was cut, and return the state after it.

        Raises `StoreError` if a part cannot be sent, `BlobTooLarge` if no more parts are allowed, and what `checkpoint`
        raises. Parts under way are then stopped. In every case `self.state` names the multipart, if one was begun.
        """
        self._next_number = len(self.state.parts) + 1
        self._end = self.state.offset - len(self.state.tail)
        self._begin_part()
        if self.state.tail:
            await self.account.acquire(len(self.state.tail))
            self._fill_with_tail()
        self.on_begun()
        await self._receive(body, only_what_fits=True)
        if self._beyond or self._sends_the_end():
            await self._send_parts(body)
        else:  # most bodies are one small part: they need no task
            self.account.part_is_full()
            await self._hashing.end(self._filling)
        end = self._end + len(self._filling)
        is_same = (end, self._next_number - 1) == (self.state.offset, len(self.state.parts))
        tail_part = self.state.tail_part if is_same else self._tail_part
        return self._state_after(self._next_number, end, self._hashing.state(), self._filling, tail_part)

    async def _send_parts(self, body: Body) -> None:
        """Take the rest of a body that is more than one part, or whose end is sent, and send it meanwhile."""
        most_bytes = self.limits.in_flight_bytes if self.limits.runs_ahead else None
        self._sender = PartSender(self.store, lambda: self.state.multipart, self._multipart_begun, most_bytes)
        self._checkpoints = Checkpoints(self.checkpoint, self.limits.checkpoint_bytes, self._end)
        self._in_flight = PartsInFlight(self.account)
        self._sends_parts = True
        with plain_errors():
            async with trio.open_nursery() as self._nursery:
                if self._beyond:
                    chunk, self._beyond = self._beyond, b""
                    await self._take(chunk)
                    del chunk
                    await self._receive(body)
                if self._ends_with_part():
                    await self._dispatch()
                elif self._sends_the_end():
                    self._nursery.start_soon(self._send_tail, self._filling)
                self._checkpoints.body_ended = True
                self.account.part_is_full()
                await self._hashing.end(self._filling)

    def drop(self) -> None:
        """Free the memory of every byte that is left, and let go of what leads back here.

        Otherwise an error on its way out would still lead to all of it, and the collector of cycles to the rest.
        """
        self.state.tail.clear()
        self._filling.clear()
        self._beyond = b""
        if self._sends_parts:
            self._in_flight.drop()
        self.on_begun = self.on_hashed = self._hashing.on_ended = self._hashing.on_hashed = _nothing

    def raise_cut(self) -> None:
        """Raise `ClientStalled` if the body ended before its end."""
        if self.cut is not None:
            raise self.cut

    def _fill_with_tail(self) -> None:
        """Continue the part whose first bytes an earlier request left."""
        self._hashing.skip_bytes = len(self.state.tail)
        for piece in self.state.tail.blocks():
            self._filling.append(piece)
        self.state.tail.clear()

    def _state_after(
        self,
        next_number: int,
        offset: int,
        hash_state: bytes | None,
        tail: Pieces,
        tail_part: SentPart | None = None,
    ) -> UploadState:
        sent = tuple(self._parts[number] for number in range(len(self.state.parts) + 1, next_number))
        return self.state.after(offset, self.state.parts + sent, hash_state, tail, tail_part)

    async def _receive(self, body: Body, *, only_what_fits: bool = False) -> None:
        """Take the body, or as much as fits into the part that is being filled: `_beyond` is then what does not."""
        try:
            async for chunk in body:
                if only_what_fits and chunk and not self._fits(chunk):
                    self._beyond = chunk
                    return
                await self._take(chunk)
        except ClientStalled as error:
            self.cut = error.with_traceback(None)  # its frames would keep bytes, in a cycle with this

    def _fits(self, chunk: bytes) -> bool:
        """Whether no part becomes more than full by a chunk. Kept bytes that are read back may fill one already."""
        return self.state.kept is None and len(self._filling) + len(chunk) <= self._size_bytes

    def _sends_the_end(self) -> bool:
        """Whether what was received last is sent as a part, although the body has ended."""
        is_last = self.may_be_all and self.cut is None and bool(self._filling) and self._next_number > 1
        return is_last or self._ends_with_part()

    def _ends_with_part(self) -> bool:
        """Whether the rest of the body is a part: if it is full, or all there is, or too long for a tail."""
        if self.checkpoint is None:
            return False
        size_bytes = len(self._filling)
        if size_bytes == self._size_bytes:
            return self._next_number > 1 or not self.may_be_all
        return size_bytes > self.limits.tail_bytes

    async def _take(self, chunk: bytes) -> None:
        """Add bytes to the part that is being filled. A full part is sent off when the next byte comes."""
        view = memoryview(chunk)
        if view and self.state.kept is not None:
            # An earlier request kept its bytes as the blob, and a byte more shows that they were not all of it. Only
            # now are they read back as the beginning of a part: a request without bytes names them where they are.
            self.state = await take_back(self.store, self.account, self.state)
            self._end = self._checkpoints.last_end = 0
            self._fill_with_tail()
        while view:
            # A full part waits for one byte more before it is sent. Until then it may be the last one, and what is
            # done with the end of a body (see `_receive`) is not what is done with a part in its middle.
            if len(self._filling) >= self._size_bytes:
                await self._dispatch()
            # Asked at the first byte of each part, before anything is held for it: S3 takes so many, and no more.
            if not self._filling:
                self.state.plan.check_number(self._next_number)
            piece = view[: self._size_bytes - len(self._filling)]
            # The one place where a body waits for memory, piece by piece: here the backpressure begins. The bytes are
            # here already, but nothing more is read from the socket before this returns.
            await self.account.acquire(len(piece))
            # A view would keep the whole chunk in memory until the last of the parts that share it has gone.
            self._filling.append(bytes(piece) if len(piece) < len(chunk) else chunk)
            if len(piece) >= SMALL_BYTES and self.store.features.takes_crcs:
                self._filling.crc32c()  # for the store: the bytes are in the processor's cache now
            view = view[len(piece) :]

    def _begin_part(self) -> None:
        self._filling = Pieces()
        self._size_bytes = self.state.plan.size_bytes(self._next_number)
        self.account.begin_part(self._size_bytes)

    async def _dispatch(self) -> None:
        """Send off the part that was filled, and begin the next."""
        self._end += len(self._filling)
        is_checkpoint = self._checkpoints.is_due(self._end)
        part = PartInFlight(self._next_number, self._filling, self._end, is_checkpoint)
        self._next_number += 1
        self._begin_part()
        await self._in_flight.leave_room(len(part.body), self.limits.in_flight_bytes, self._may_run_ahead)
        self._in_flight.add(part)
        if is_checkpoint:
            self._checkpoints.last_end = self._end
        self._nursery.start_soon(self._send, part)
        await self._hashing.add(part, self._nursery)
        await self._in_flight.leave_room(self._size_bytes, self.limits.held_bytes)

    def _may_run_ahead(self) -> bool:
        """Say whether the full part may wait in memory for those before it."""
        return self.limits.runs_ahead and self.account.budget.has_spare

    async def _send(self, part: PartInFlight) -> None:
        self._parts[part.number] = await self._sender.send_in_turn(part.number, part.body)
        self._settle(part)

    async def _send_tail(self, tail: Pieces) -> None:
        self._tail_part = await self._sender.send(self._next_number, tail)

    def _settle(self, part: PartInFlight) -> None:
        if (reached := self._in_flight.settle(part)) is not None:
            state = partial(self._state_after, reached.number + 1, reached.end, reached.hash_state, Pieces())
            self._nursery.start_soon(self._checkpoints.reach, reached.number, state)

    def _hashed_all(self) -> None:
        self.on_hashed()

    def _multipart_begun(self, multipart: BegunMultipart) -> None:
        self.state = replace(self.state, multipart=multipart)
