"""Uploads: begun, carried on and committed by whichever replica the next request reaches (spec, *Pushing blobs*).

`zotpy.core.upload_state` has the table of what each request may do.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from zotpy.bucket.keyring import Keyring
from zotpy.concurrency import beside, within_deadline
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    ChunkOutOfOrder,
    DigestInvalid,
    SizeInvalid,
    TooManyRequests,
    UploadInvalid,
    UploadUnknown,
)
from zotpy.core.names import RepositoryName
from zotpy.core.parts import TAIL_LIMIT_BYTES
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.tokens import UploadToken
from zotpy.core.upload_state import UploadState
from zotpy.memory.accounts import Account
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.pushing.committing import Commit, Ending
from zotpy.registry.pushing.kept import keep, take_back
from zotpy.registry.pushing.pipeline import Body, Checkpoint, Limits, PartPipeline
from zotpy.registry.pushing.recent import Recent
from zotpy.registry.pushing.sessions import Session, Sessions, check_length, promised, refused
from zotpy.registry.pushing.states import SavedState
from zotpy.registry.settings import RegistrySettings
from zotpy.store.holds import Holds
from zotpy.store.interface import ConditionFailed, ContentRejected, KeyMissing, Store


class _Outdated(Exception):
    """Another request went on with an upload that this replica remembers: the state in the store decides."""


_GONE = "the bytes that this upload had sent are gone: begin again with POST"


@dataclass(frozen=True, slots=True)
class Uploads:
    """All requests that send blobs."""

    store: Store
    sessions: Sessions
    commits: Commit
    keyring: Keyring
    budget: MemoryBudget
    settings: RegistrySettings
    holds: Holds = field(default_factory=Holds)
    recent: Recent = field(default_factory=Recent)

    def begin(self, repo: RepositoryName, algorithm: str) -> Session:
        """Begin an upload without a store call (end-4a).

        Raises `TooManyRequests` while bodies wait for memory that requests hold for a store that stumbles: a client can
        repeat a POST, and many cannot repeat a body.
        """
        if self.holds.calls and self.budget.waiting:
            msg = f"the store does not answer, and {self.budget.waiting} uploads wait for memory: try again"
            raise TooManyRequests(msg)
        return Session(repo, UploadToken(repo.text, keys.new_id(), algorithm, 0))

    async def find(self, repo: RepositoryName, upload_id: str, token: str) -> Session:
        """Check what a client brings back from a Location. Raises `UploadUnknown`."""
        return Session(repo, await self.keyring.verify(token, repo.text, upload_id))

    async def status(self, session: Session) -> Session:
        """Return the session with the offset that is safe (end-13). Raises `UploadUnknown`."""
        return session.at((await self.sessions.look(session)).offset)

    async def cancel(self, session: Session) -> None:
        """End an upload: its parts go, and a chunk still under way cannot bring it back. Raises `UploadUnknown`."""
        self.recent.drop(session.key)
        state = await self.sessions.look(session)
        await self.store.put(session.key, state.tombstone().encode())
        await self.commits.drop_multipart(state)

    async def chunk(
        self,
        session: Session,
        body: Body,
        span: Span | None,
        length_bytes: int | None,
        account: Account | None = None,
    ) -> Session:
        """Take in one chunk (end-5), whose bytes `account` is charged for, and return the session after it.

        A body that is cut is kept up to the cut, and the cut is raised. Raises `ChunkOutOfOrder`, `SizeInvalid`,
        `BlobTooLarge`, `UploadUnknown`; where the store fails, the upload goes on from the last checkpoint.
        """
        async with self.sessions.reading_tail(session) as leave:
            promised_bytes = promised(span, length_bytes)
            saved = await self.sessions.open(session, span, promised_bytes)
            may_be_all = saved.state.offset == 0 and span is None
            account = account or self.budget.account()
            pipeline = self._pipeline(saved.state, account, saved.save, may_be_all=may_be_all)
            pipeline.on_begun = leave
            return await self._chunk(session, saved, pipeline, body, promised_bytes)

    async def _chunk(
        self, session: Session, saved: SavedState, pipeline: PartPipeline, body: Body, promised_bytes: int | None
    ) -> Session:
        """Take in one chunk after what is saved."""
        started_at = saved.state.offset
        try:
            try:
                state = await pipeline.run(body)
                check_length(state, started_at, None if pipeline.cut else promised_bytes)
                if pipeline.may_be_all and pipeline.cut is None:
                    state = await keep(self.store, state)
                await saved.save(state)
                self.recent.add(saved)
            except ConditionFailed as error:
                raise await self._overtaken(session, saved, pipeline.state) from error
            except KeyMissing as error:
                raise UploadUnknown(_GONE) from error
            except BaseException:
                await self._drop_unsaved(saved, pipeline.state)
                raise
            pipeline.raise_cut()
            return session.at(state.offset)
        finally:
            pipeline.drop()
            pipeline.account.close()

    async def finish(
        self,
        session: Session,
        digest: Digest,
        body: Body,
        span: Span | None,
        length_bytes: int | None,
        account: Account | None = None,
    ) -> BlobValue:
        """Take in the last chunk, which may be all or nothing, and make the blob exist (end-6 and end-4b).

        Raises `DigestInvalid`, `SizeInvalid`, `UploadInvalid`, after which the upload is no more; `ChunkOutOfOrder`,
        `ClientStalled`, `StoreError`, after which what earlier requests sent is still there; `UploadUnknown`.
        """
        account = account or self.budget.account()
        promised_bytes = promised(span, length_bytes)
        opening = partial(self.sessions.open, session, span, promised_bytes, digest.algorithm)
        ending = Ending(session.repo, digest)
        remembered = self.recent.take(session.key, session.token.offset, digest)
        try:
            if promised_bytes == 0 and remembered is not None:
                with suppress(_Outdated):
                    return await self._finish(
                        session, remembered, ending, body, promised_bytes, account, is_remembered=True
                    )
            async with self.sessions.reading_tail(session) as leave:
                finish = partial(self._finish, on_begun=leave)
                if promised_bytes == 0 and session.token.offset > INLINE_LIMIT_BYTES:
                    with within_deadline(self.settings.deadline_s):  # it begins with the reading of a hint
                        saved = await beside(opening, partial(self.commits.look_for_older, ending))
                        return await finish(session, saved, ending, body, promised_bytes, account)
                return await finish(session, await opening(), ending, body, promised_bytes, account)
        except UploadUnknown:
            if (done := await self.commits.done(ending)) is not None:
                return done  # the answer to this very request was lost, and the client asks again
            raise

    async def _finish(
        self,
        session: Session,
        saved: SavedState,
        ending: Ending,
        body: Body,
        promised_bytes: int | None,
        account: Account,
        *,
        is_remembered: bool = False,
        on_begun: Callable[[], None] = lambda: None,
    ) -> BlobValue:
        """Take in the last chunk after what is saved. Raises `_Outdated` where it was only remembered, and old."""
        pipeline = self._pipeline(saved.state, account)
        pipeline.on_begun = on_begun
        try:
            try:
                state = await pipeline.run(body)
                if state.offset == 0 and session.token.offset == 0 and pipeline.cut is None:
                    saved, state, pipeline = await self._after_all(session, saved, state, pipeline)
                pipeline.raise_cut()
                check_length(state, saved.state.offset, promised_bytes)
                if state.kept is not None and not saved.is_kept_for(self.settings.grace_s / 2):
                    account.begin_part(state.offset)
                    state = pipeline.state = await take_back(self.store, account, state)
                    account.part_is_full()
                return await self.commits.commit(ending, state, pipeline.hasher, saved.forget)
            except ContentRejected as error:
                if is_remembered:
                    raise _Outdated from error
                await self._abandon(saved, pipeline.state)
                msg = "another request wrote other bytes to this upload at the same time: push the blob again"
                raise UploadInvalid(msg) from error
            except KeyMissing as error:
                if is_remembered:
                    raise _Outdated from error
                if (value := await self.commits.joined(ending, saved.state, saved.forget)) is not None:
                    return value
                await self._abandon(saved, pipeline.state)
                raise UploadUnknown(_GONE) from error
            except (DigestInvalid, SizeInvalid):
                await self._abandon(saved, pipeline.state)
                raise
            except BaseException:
                await self._drop_unsaved(saved, pipeline.state)
                raise
        finally:
            pipeline.drop()
            account.close()

    def _pipeline(
        self, state: UploadState, account: Account, checkpoint: Checkpoint | None = None, *, may_be_all: bool = False
    ) -> PartPipeline:
        settings, half = self.settings, self.budget.total_bytes // 2
        limits = Limits(
            in_flight_bytes=min(settings.parts_in_flight * settings.part_size_bytes, half),
            held_bytes=half,
            tail_bytes=max(TAIL_LIMIT_BYTES, settings.part_size_bytes),
            checkpoint_bytes=settings.checkpoint_bytes,
        )
        return PartPipeline(self.store, limits, account, state, state.hasher(), checkpoint, may_be_all)

    async def _after_all(
        self, session: Session, saved: SavedState, state: UploadState, pipeline: PartPipeline
    ) -> tuple[SavedState, UploadState, PartPipeline]:
        """Commit what earlier chunks sent, though the client came back with the Location of the very first answer."""
        try:
            loaded = await self.sessions.load(session)
        except UploadUnknown:
            return saved, state, pipeline
        if loaded.etag is None:
            return saved, state, pipeline
        return loaded, loaded.state, self._pipeline(loaded.state, pipeline.account)

    async def _overtaken(self, session: Session, saved: SavedState, mine: UploadState) -> ChunkOutOfOrder:
        """Say where the upload stands now that another request went on with it; raises `UploadUnknown` if it is over.

        Parts that no saved state names are dropped: another chunk began parts of its own, or the upload was cancelled.
        """
        try:
            there = await self.sessions.look(session)
        except UploadUnknown:
            await self.commits.drop_multipart(mine)
            raise
        except BaseException:
            await self._drop_unsaved(saved, mine)
            raise
        if there.multipart_id != mine.multipart_id:
            await self.commits.drop_multipart(mine)
        return refused(there.offset)

    async def _drop_unsaved(self, saved: SavedState, state: UploadState) -> None:
        """Abort a multipart that this request began, and that no saved state names."""
        if not saved.names_multipart():
            await self.commits.drop_multipart(state)

    async def _abandon(self, saved: SavedState, state: UploadState) -> None:
        await self.commits.drop_multipart(state)
        await saved.forget()
