"""Where an upload stands: from what a client sends along to the state in the store."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace

import trio

from zotpy.core import keys
from zotpy.core.errors import ChunkOutOfOrder, SizeInvalid, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.parts import LARGEST_PART_BYTES, plan_chunks, plan_whole
from zotpy.core.pieces import Pieces
from zotpy.core.quick import quickly_made
from zotpy.core.ranges import Span
from zotpy.core.units import KIB, MIB
from zotpy.core.upload_state import UploadState
from zotpy.core.upload_tokens import UploadToken
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.pushing.leftovers import Leftovers
from zotpy.registry.pushing.states import SavedState
from zotpy.settings import Settings
from zotpy.store.interface import KeyMissing, Store

BEGINNING_BYTES = 16 * KIB
LONGEST_HEADER_BYTES = 2 * MIB
"""The header of a state names 10,000 parts at most."""
TAILS_AT_ONCE = 8
"""How many states may be read with their tails before the budget counts these."""
_NO_TAIL: AbstractAsyncContextManager[Callable[[], None]] = nullcontext(lambda: None)
_OVER = "this upload does not exist: it was finished, cancelled or timed out; begin a new one with POST"


@quickly_made
@dataclass(frozen=True, slots=True)
class Session:
    """One request's view of an upload: which upload it is, and how far the client has got as it knows."""

    repo: RepositoryName
    token: UploadToken

    @property
    def key(self) -> str:
        """Where the upload's state is kept."""
        return keys.upload(self.repo, self.token.upload_id)

    def at(self, offset: int) -> "Session":
        """Return the session after a request that made this many bytes safe."""
        token = self.token
        return Session(self.repo, UploadToken(token.repo, token.upload_id, token.algorithm, offset, token.owner))


@dataclass(frozen=True, slots=True)
class Sessions:
    """Finds the states of uploads."""

    store: Store
    budget: MemoryBudget
    settings: Settings
    leftovers: Leftovers = field(default_factory=Leftovers)
    _tails: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(TAILS_AT_ONCE))
    _long_headers: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(TAILS_AT_ONCE))

    async def open(
        self, session: Session, span: Span | None, promised_bytes: int | None, algorithm: str | None = None
    ) -> SavedState:
        """Find where the upload stands, without a store call if the client cannot have sent anything yet.

        `algorithm` is that of a last chunk. Raises `ChunkOutOfOrder`, `BlobTooLarge`, before any of the body is read.
        """
        if session.token.offset == 0 and (span is None or span.start == 0) and self.store.features.conditional_create:
            return self._begun(session, promised_bytes, algorithm)
        saved = await self.load(session)
        expected = span.start if span is not None else session.token.offset
        if saved.state.offset != expected:
            raise refused(saved.state.offset)
        if saved.etag is None:
            return self._begun(session, promised_bytes, algorithm)
        saved.state.check_room(promised_bytes or 0)
        return saved

    def reading_tail(self, session: Session) -> AbstractAsyncContextManager[Callable[[], None]]:
        """Wait for one's turn to read a state with its tail. Call the yielded function once the budget counts the tail.

        Only the state says how long the tail is, and to which part it belongs. So until then a few tails may be in
        memory that the budget does not count.
        """
        return _NO_TAIL if session.token.offset == 0 else self._turn_to_read()  # nothing is read, mostly

    @asynccontextmanager
    async def _turn_to_read(self) -> AsyncIterator[Callable[[], None]]:
        turn: object | None = object()
        await self._tails.acquire_on_behalf_of(turn)

        def leave() -> None:
            nonlocal turn
            if turn is not None:
                self._tails.release_on_behalf_of(turn)
            turn = None

        try:
            yield leave
        finally:
            leave()

    async def look(self, session: Session) -> UploadState:
        """Read the state without its tail. Raises `UploadUnknown` if it does not exist."""
        return replace((await self.load(session, beginning=BEGINNING_BYTES)).state, tail=Pieces())

    async def load(self, session: Session, *, beginning: int | None = None) -> SavedState:
        """Read the state, or only its `beginning`, which holds everything but the tail.

        Raises `UploadUnknown` if it does not exist although the client has sent something.
        """
        if session.key in self.leftovers:
            raise UploadUnknown(_OVER)
        try:
            fetched = await self.store.get(session.key, most_bytes=beginning)
            if fetched.total_bytes is not None and b"\n" not in fetched.body:  # thousands of parts
                async with self._long_headers:
                    fetched = await self.store.get(session.key, most_bytes=LONGEST_HEADER_BYTES)
        except KeyMissing:
            if session.token.offset:
                raise UploadUnknown(_OVER) from None
            return self._begun(session, None, None)
        state = UploadState.decode(fetched.body)
        if state.cancelled:
            msg = "this upload was cancelled: begin a new one with POST"
            raise UploadUnknown(msg)
        return SavedState(self.store, session.key, state, fetched.etag, fetched.store_time)

    def _begun(self, session: Session, promised_bytes: int | None, algorithm: str | None) -> SavedState:
        """Return the state of an upload of which nothing was sent. A last chunk is then all of it."""
        rule = plan_chunks if algorithm is None else plan_whole
        largest_bytes = min(self.budget.largest_part_bytes, LARGEST_PART_BYTES)
        plan = rule(promised_bytes, self.settings.upload.part_size_bytes, largest_bytes)
        state = UploadState(algorithm or session.token.algorithm, plan)
        return SavedState(self.store, session.key, state, None)


def promised(span: Span | None, length_bytes: int | None) -> int | None:
    """Return how many bytes a request says that it carries."""
    return span.length if span is not None else length_bytes


def check_length(state: UploadState, started_at: int, promised_bytes: int | None) -> None:
    """Raise `SizeInvalid` if a request carried another number of bytes than it promised."""
    received = state.offset - started_at
    if promised_bytes is not None and received != promised_bytes:
        msg = f"received {received} bytes, but the request promised {promised_bytes}: send it again"
        raise SizeInvalid(msg)


def refused(offset: int) -> ChunkOutOfOrder:
    """Return the error of a chunk that does not begin at `offset`."""
    msg = f"the chunk does not begin where the upload ends: continue from byte {offset}"
    return ChunkOutOfOrder(msg, offset=offset)
