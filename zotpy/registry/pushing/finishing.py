"""The last request of an upload: the rest of its bytes, and the blob (spec, *Pushing blobs*, end-6 and end-4b)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from zotpy.concurrency import beside, within_deadline
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, SizeInvalid, UploadInvalid, UploadUnknown
from zotpy.core.hashing import Hasher
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.upload_state import UploadState
from zotpy.memory.accounts import Account
from zotpy.registry.pushing.committing import Commit
from zotpy.registry.pushing.intake import GONE, Intake
from zotpy.registry.pushing.kept import take_back
from zotpy.registry.pushing.pipeline import Body, PartPipeline
from zotpy.registry.pushing.placing import WantedBlob
from zotpy.registry.pushing.recent import Recent
from zotpy.registry.pushing.sessions import Session, Sessions, check_length, promised
from zotpy.registry.pushing.states import SavedState
from zotpy.settings import Settings
from zotpy.store.interface import ConditionFailed, ContentRejected, KeyMissing


class _Outdated(Exception):
    """Another request continued an upload that this replica remembers: the state in the store decides."""


@dataclass(eq=False, slots=True)
class _LastRequest:
    """The last request of one upload."""

    session: Session
    wanted: WantedBlob
    body: Body
    promised_bytes: int | None
    """How many bytes its body has, by its headers; `None`: they do not say."""
    account: Account
    saved: SavedState = field(init=False)
    """What the requests before it sent."""
    pipeline: PartPipeline = field(init=False)


@dataclass(frozen=True, slots=True)
class Finishing:
    """Makes blobs of uploads."""

    sessions: Sessions
    commits: Commit
    intake: Intake
    settings: Settings
    recent: Recent
    save_every_bytes: int | None = None
    """How often the state of a longer body is saved in its middle. It then runs ahead of the store. `None`: never."""

    async def finish(
        self,
        session: Session,
        digest: Digest,
        body: Body,
        span: Span | None,
        length_bytes: int | None,
        account: Account,
        on_right: Callable[[], None] | None,
    ) -> BlobValue:
        """See `zotpy.registry.pushing.uploads.Uploads.finish`."""
        promised_bytes = promised(span, length_bytes)
        opening = partial(self.sessions.open, session, span, promised_bytes, digest.algorithm)
        wanted = WantedBlob(session.repo, digest, on_right)
        last = _LastRequest(session, wanted, body, promised_bytes, account)
        remembered = self.recent.take(session.key, session.token.offset, digest)
        try:
            if promised_bytes == 0 and remembered is not None:
                if not remembered.state.parts:
                    return await self._finish_small(remembered, wanted, account)
                with suppress(_Outdated):
                    return await self._finish(last, remembered, is_remembered=True)
            async with self.sessions.reading_tail(session) as leave:
                if promised_bytes == 0 and session.token.offset > INLINE_LIMIT_BYTES:
                    with within_deadline(self.settings.gc.deadline_s):  # it begins with the reading of a hint
                        saved = await beside(opening, partial(self.commits.placing.look_for_older, wanted))
                        return await self._finish(last, saved, on_begun=leave)
                return await self._finish(last, await opening(), on_begun=leave)
        except UploadUnknown:
            if (done := await self.commits.done(wanted)) is not None:
                return done  # the answer to this very request was lost, and the client asks again
            raise

    async def _finish(
        self,
        last: _LastRequest,
        saved: SavedState,
        *,
        is_remembered: bool = False,
        on_begun: Callable[[], None] = lambda: None,
    ) -> BlobValue:
        """Take the last chunk after what is saved. Raises `_Outdated` if that was only remembered, and is old."""
        last.saved, last.pipeline = saved, self._pipeline(last, saved, on_begun)
        try:
            return await self._take(last)
        except ContentRejected as error:
            if is_remembered:
                raise _Outdated from error
            await self.intake.abandon(last.saved, last.pipeline.state)
            msg = "another request wrote other bytes to this upload at the same time: push the blob again"
            raise UploadInvalid(msg) from error
        except KeyMissing as error:
            if is_remembered:
                raise _Outdated from error
            saved = last.saved
            if (value := await self.commits.joined(last.wanted, saved.state, saved.forget)) is not None:
                return value
            await self.intake.abandon(saved, last.pipeline.state)
            raise UploadUnknown(GONE) from error
        except (DigestInvalid, SizeInvalid):
            await self.intake.abandon(last.saved, last.pipeline.state)
            raise
        except BaseException:
            await self.intake.drop_unsaved(last.saved, last.pipeline.state)
            raise
        finally:
            last.pipeline.drop()
            last.account.close()

    def _pipeline(self, last: _LastRequest, saved: SavedState, on_begun: Callable[[], None]) -> PartPipeline:
        every_bytes, promised_bytes = self.save_every_bytes, last.promised_bytes
        is_long = every_bytes is not None and promised_bytes is not None and promised_bytes > every_bytes
        checkpoint = partial(_save, saved) if is_long else None
        pipeline = self.intake.pipeline(
            saved.state, last.account, checkpoint, checkpoint_bytes=every_bytes, runs_ahead=every_bytes is not None
        )
        pipeline.on_begun, pipeline.on_hashed = on_begun, lambda: last.wanted.hashed(pipeline.hasher)
        return pipeline

    async def _take(self, last: _LastRequest) -> BlobValue:
        """Take the bytes, and make the blob exist."""
        account = last.account
        started_at = last.saved.state.offset
        state = await last.pipeline.run(last.body)
        if state.offset == 0 and last.session.token.offset == 0 and last.pipeline.cut is None:
            state = await self._after_all(last, state)
            started_at = last.saved.state.offset
        last.pipeline.raise_cut()
        check_length(state, started_at, last.promised_bytes)
        if state.kept is not None and not last.saved.is_kept_for(self.settings.gc.grace_s / 2):
            account.begin_part(state.offset)
            state = last.pipeline.state = await take_back(self.intake.store, account, state)
            account.part_is_full()
        return await self._commit(last.wanted, last.saved, state, last.pipeline.hasher)

    async def _finish_small(self, saved: SavedState, wanted: WantedBlob, account: Account) -> BlobValue:
        """Make a blob of a remembered state that has all its bytes, and no part: nothing is received or sent.

        They have the digest, or `Recent.take` would not have returned them.
        """
        state = saved.state
        try:
            account.begin_part(state.offset)
            await account.acquire(state.offset)
            account.part_is_full()
            hasher = state.hasher()
            wanted.hashed(hasher)
            return await self._commit(wanted, saved, state, hasher)
        finally:
            state.tail.clear()
            account.close()

    async def _commit(
        self, wanted: WantedBlob, saved: SavedState, state: UploadState, hasher: Hasher | None
    ) -> BlobValue:
        """Make the blob exist, and delete the upload's state, if there is one: later, if it names nothing else."""
        leftovers, is_there = self.sessions.leftovers, saved.etag is not None
        names_nothing = saved.state.multipart is None and saved.state.kept is None
        is_left = is_there and names_nothing and leftovers.has_room
        value = await self.commits.commit(wanted, state, hasher, saved.forget if is_there and not is_left else None)
        if is_left:
            leftovers.add(saved.key)
        return value

    async def _after_all(self, last: _LastRequest, state: UploadState) -> UploadState:
        """Commit what earlier chunks sent, although the client came back with the Location of the very first answer."""
        try:
            loaded = await self.sessions.load(last.session)
        except UploadUnknown:
            return state
        if loaded.etag is None:
            return state
        last.pipeline.drop()
        last.saved, last.pipeline = loaded, self.intake.pipeline(loaded.state, last.account)
        return loaded.state


async def _save(saved: SavedState, state: UploadState) -> None:
    """Save a state in the middle of the last chunk, unless another request has gone on from an earlier one.

    That request sends the same parts to the same multipart, so this one must not drop it if it fails later.
    """
    try:
        await saved.save(state)
    except ConditionFailed:
        saved.in_doubt = True
