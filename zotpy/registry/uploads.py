"""Uploads: begun, carried on and committed by whichever replica the next request reaches (spec, *Pushing blobs*).

`zotpy.core.uploads` has the table of what each request may do.
"""

from dataclasses import dataclass, replace
from functools import partial

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, DigestInvalid, SizeInvalid, UploadInvalid, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.parts import LARGEST_PART_BYTES, TAIL_LIMIT_BYTES, plan_chunks, plan_whole
from zotpy.core.ranges import Span
from zotpy.core.records import BlobValue
from zotpy.core.tokens import UploadToken
from zotpy.core.uploads import UploadState
from zotpy.registry.budget import Account, MemoryBudget
from zotpy.registry.committing import Commit, check_length, cleaning_up
from zotpy.registry.concurrency import gather, within_deadline
from zotpy.registry.keyring import Keyring
from zotpy.registry.pipeline import Body, Checkpoint, Limits, PartPipeline
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings
from zotpy.registry.states import SavedState
from zotpy.store.interface import ConditionFailed, ContentRejected, KeyMissing, Store

_PARTS_GONE = "the parts of this upload are gone: begin again with POST"


@dataclass(frozen=True, slots=True)
class Session:
    """One request's view of an upload: whose it is, and how far the client knows it to be."""

    repo: RepositoryName
    token: UploadToken

    @property
    def key(self) -> str:
        """Where the upload's state is kept."""
        return keys.upload(self.repo, self.token.upload_id)


@dataclass(frozen=True, slots=True)
class Uploads:
    """All requests that send blobs."""

    store: Store
    records: Records
    commits: Commit
    keyring: Keyring
    budget: MemoryBudget
    settings: RegistrySettings

    def begin(self, repo: RepositoryName, algorithm: str) -> Session:
        """Begin an upload without a store call (end-4a)."""
        return Session(repo, UploadToken(repo.text, keys.new_id(), algorithm, 0))

    async def find(self, repo: RepositoryName, upload_id: str, token: str) -> Session:
        """Check what a client brings back from a Location. Raises `UploadUnknown`."""
        return Session(repo, await self.keyring.verify(token, repo.text, upload_id))

    async def status(self, session: Session) -> Session:
        """Return the session with the offset that is safe (end-13). Raises `UploadUnknown`."""
        saved = await self._load(session)
        return self._at(session, saved.state.offset)

    async def cancel(self, session: Session) -> None:
        """End an upload: its parts go, and a chunk still under way cannot bring it back. Raises `UploadUnknown`."""
        saved = await self._load(session)
        await self.store.put(session.key, saved.state.tombstone().encode())
        await self.commits.drop_multipart(saved.state)

    async def chunk(self, session: Session, body: Body, span: Span | None, length_bytes: int | None) -> Session:
        """Take in one chunk (end-5) and return the session after it.

        A body that is cut is kept up to the cut, and the cut is raised. Raises `ChunkOutOfOrder`, `SizeInvalid`,
        `BlobTooLarge`, `UploadUnknown`; where the store fails, the upload goes on from the last checkpoint.
        """
        promised = _promised(span, length_bytes)
        saved = await self._open(session, span, promised)
        started_at = saved.state.offset
        account = self.budget.account()
        pipeline = self._pipeline(saved.state, account, saved.save)
        try:
            try:
                state = await pipeline.run(body)
                check_length(state, started_at, None if pipeline.cut else promised)
                await saved.save(state)
            except ConditionFailed as error:
                raise await self._overtaken(session, saved, pipeline.state) from error
            except KeyMissing as error:
                raise UploadUnknown(_PARTS_GONE) from error
            except BaseException:
                await self._drop_unsaved(saved, pipeline.state)
                raise
            pipeline.raise_cut()
            return self._at(session, state.offset)
        finally:
            pipeline.drop()
            account.close()

    async def finish(
        self, session: Session, digest: Digest, body: Body, span: Span | None, length_bytes: int | None
    ) -> BlobValue:
        """Take in the last chunk, which may be all or nothing, and make the blob exist (end-6 and end-4b).

        Raises `DigestInvalid`, `SizeInvalid`, `UploadInvalid`, after which the upload is no more; `ChunkOutOfOrder`,
        `ClientStalled`, `StoreError`, after which what earlier requests sent is still there; `UploadUnknown`.
        """
        try:
            return await self._finish(session, digest, body, span, length_bytes)
        except UploadUnknown:
            with within_deadline(self.settings.deadline_s):
                done = await self.records.read_blob(session.repo, digest, rely=True)
            if done is not None:
                return done  # the answer to this very request was lost, and the client asks again
            raise

    async def _finish(
        self, session: Session, digest: Digest, body: Body, span: Span | None, length_bytes: int | None
    ) -> BlobValue:
        promised = _promised(span, length_bytes)
        saved = await self._open(session, span, promised, digest.algorithm)
        account = self.budget.account()
        pipeline = self._pipeline(saved.state, account)
        try:
            state = await self._run(pipeline, body, saved)
            if state.offset == 0 and session.token.offset == 0 and pipeline.cut is None:
                saved, state, pipeline = await self._after_all(session, saved, state, pipeline)
            try:
                pipeline.raise_cut()
                check_length(state, saved.state.offset, promised)
                value = await self.commits.commit(session.repo, digest, state, pipeline.hasher)
            except ContentRejected as error:
                await self._abandon(session, saved, state)
                msg = "the store has other bytes than this request sent: another request wrote to the same upload"
                raise UploadInvalid(msg) from error
            except KeyMissing as error:
                await self._abandon(session, saved, state)
                raise UploadUnknown(_PARTS_GONE) from error
            except (DigestInvalid, SizeInvalid):
                await self._abandon(session, saved, state)
                raise
            except BaseException:
                await self._drop_unsaved(saved, state)
                raise
            if saved.etag is not None:
                with within_deadline(self.settings.deadline_s):  # the answer must not come long after the lease
                    await self.store.delete(session.key)
            return value
        finally:
            pipeline.drop()
            account.close()

    async def mount(self, repo: RepositoryName, digest: Digest, source: RepositoryName | None) -> BlobValue | None:
        """Make a blob of another repository exist in this one (end-11), or return `None` where there is none."""
        with within_deadline(self.settings.deadline_s):
            if source is not None:
                value = await self.records.read_blob(source, digest, rely=True)
            elif self.settings.mount_without_source:
                value = await self.records.read_blob(repo, digest, rely=True)
                value = value or await self.commits.hinted(digest) or await self._from_siblings(repo, digest)
            else:
                value = None
            if value is not None:
                await self.records.write(repo, "blobs", digest, value)
        return value

    async def _from_siblings(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Look for a small blob, which has no hint, in a few repositories beside this one."""
        siblings = await self.records.siblings(repo)
        if not siblings:
            return None
        found = await gather(*[partial(self.records.read_entry, name, digest) for name in siblings])
        for name, value in zip(siblings, found, strict=True):
            if value is not None:
                return await self.records.read_blob(name, digest, rely=True)
        return None

    def _pipeline(self, state: UploadState, account: Account, checkpoint: Checkpoint | None = None) -> PartPipeline:
        settings, half = self.settings, self.budget.total_bytes // 2
        limits = Limits(
            in_flight_bytes=min(settings.parts_in_flight * settings.part_size_bytes, half),
            held_bytes=half,
            tail_bytes=max(TAIL_LIMIT_BYTES, settings.part_size_bytes),
            checkpoint_bytes=settings.checkpoint_bytes,
        )
        return PartPipeline(self.store, limits, account, state, state.hasher(), checkpoint)

    async def _run(self, pipeline: PartPipeline, body: Body, saved: SavedState) -> UploadState:
        try:
            return await pipeline.run(body)
        except KeyMissing as error:
            raise UploadUnknown(_PARTS_GONE) from error
        except BaseException:
            await self._drop_unsaved(saved, pipeline.state)
            raise

    async def _open(
        self, session: Session, span: Span | None, promised_bytes: int | None, algorithm: str | None = None
    ) -> SavedState:
        """Find where the upload stands, without a store call if the client cannot have sent anything yet.

        `algorithm` is that of a last chunk. Raises `ChunkOutOfOrder`, `BlobTooLarge`, before any of the body is read.
        """
        if session.token.offset == 0 and (span is None or span.start == 0) and self.store.features.conditional_create:
            return self._begun(session, promised_bytes, algorithm)
        saved = await self._load(session)
        expected = span.start if span is not None else session.token.offset
        if saved.state.offset != expected:
            raise _refused(saved.state.offset)
        if saved.etag is None:
            return self._begun(session, promised_bytes, algorithm)
        saved.state.check_room(promised_bytes or 0)
        return saved

    async def _after_all(
        self, session: Session, saved: SavedState, state: UploadState, pipeline: PartPipeline
    ) -> tuple[SavedState, UploadState, PartPipeline]:
        """Commit what earlier chunks sent, though the client came back with the Location of the very first answer."""
        try:
            loaded = await self._load(session)
        except UploadUnknown:
            return saved, state, pipeline
        if loaded.etag is None:
            return saved, state, pipeline
        return loaded, loaded.state, self._pipeline(loaded.state, pipeline.account)

    def _begun(self, session: Session, promised_bytes: int | None, algorithm: str | None) -> SavedState:
        """Return the state of an upload of which nothing was sent; a last chunk is then all of it."""
        rule = plan_chunks if algorithm is None else plan_whole
        largest_bytes = min(self.budget.largest_part_bytes, LARGEST_PART_BYTES)
        plan = rule(promised_bytes, self.settings.part_size_bytes, largest_bytes)
        state = UploadState(algorithm or session.token.algorithm, plan)
        return SavedState(self.store, session.key, state, None)

    async def _load(self, session: Session) -> SavedState:
        try:
            fetched = await self.store.get(session.key)
        except KeyMissing:
            if session.token.offset:
                msg = "there is no such upload: it was finished, cancelled or timed out; begin one with POST"
                raise UploadUnknown(msg) from None
            return self._begun(session, None, None)
        state = UploadState.decode(fetched.body)
        if state.cancelled:
            msg = "this upload was cancelled: begin one with POST"
            raise UploadUnknown(msg)
        return SavedState(self.store, session.key, state, fetched.etag)

    async def _overtaken(self, session: Session, saved: SavedState, mine: UploadState) -> ChunkOutOfOrder:
        """Say where the upload stands now that another request went on with it; raises `UploadUnknown` if it is over.

        Parts that no saved state names are dropped: another chunk began parts of its own, or the upload was cancelled.
        """
        try:
            there = (await self._load(session)).state
        except UploadUnknown:
            await self.commits.drop_multipart(mine)
            raise
        except BaseException:
            await self._drop_unsaved(saved, mine)
            raise
        if there.multipart_id != mine.multipart_id:
            await self.commits.drop_multipart(mine)
        return _refused(there.offset)

    async def _drop_unsaved(self, saved: SavedState, state: UploadState) -> None:
        """Abort a multipart that this request began, and that no saved state names."""
        if not saved.names_multipart():
            await self.commits.drop_multipart(state)

    async def _abandon(self, session: Session, saved: SavedState, state: UploadState) -> None:
        with cleaning_up():
            await self.commits.drop_multipart(state)
            if saved.etag is not None:
                await self.store.delete(session.key)

    @staticmethod
    def _at(session: Session, offset: int) -> Session:
        return Session(session.repo, replace(session.token, offset=offset))


def _promised(span: Span | None, length_bytes: int | None) -> int | None:
    return span.length if span is not None else length_bytes


def _refused(offset: int) -> ChunkOutOfOrder:
    msg = f"the chunk does not begin where the upload ends: go on from byte {offset}"
    return ChunkOutOfOrder(msg, offset=offset)
