"""Uploads: begun, carried on and committed by whichever replica the next request reaches (spec, *Pushing blobs*).

`zotpy.core.uploads` has the table of what each request may do.
"""

from dataclasses import dataclass, replace
from functools import partial

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, DigestInvalid, SizeInvalid, UploadInvalid, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.records import BlobValue
from zotpy.core.tokens import UploadToken
from zotpy.core.uploads import UploadState
from zotpy.registry.budget import Account, MemoryBudget
from zotpy.registry.committing import CLEANUP_S, Commit, check_length, cleaning_up
from zotpy.registry.concurrency import gather, within_deadline
from zotpy.registry.keyring import Keyring
from zotpy.registry.pipeline import Body, PartPipeline
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings
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
class _Saved:
    """A state as it is in the store; `etag` is `None` where there is none."""

    state: UploadState
    etag: str | None


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

        A body that is cut is kept up to the cut, and the cut is raised. Raises `ChunkOutOfOrder`, `SizeInvalid`.
        """
        saved = await self._open(session, span)
        account = self.budget.account()
        try:
            pipeline = self._pipeline(saved.state, account)
            state = await self._run(pipeline, body, saved)
            try:
                await self._accept(session, saved, state, None if pipeline.cut else _promised(span, length_bytes))
            except ConditionFailed as error:
                await self._drop_unsaved(saved, state)
                raise await self._out_of_order(session) from error
            except BaseException:
                await self._drop_unsaved(saved, state)
                raise
            pipeline.raise_cut()
            return self._at(session, state.offset)
        finally:
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
            if (done := await self.records.read_blob(session.repo, digest, rely=True)) is not None:
                return done  # the answer to this very request was lost, and the client asks again
            raise

    async def _finish(
        self, session: Session, digest: Digest, body: Body, span: Span | None, length_bytes: int | None
    ) -> BlobValue:
        saved = await self._open(session, span, digest.algorithm)
        account = self.budget.account()
        try:
            pipeline = self._pipeline(saved.state, account)
            state = await self._run(pipeline, body, saved)
            if state.offset == 0 and session.token.offset == 0 and pipeline.cut is None:
                saved, state, pipeline = await self._after_all(session, saved, state, pipeline)
            try:
                pipeline.raise_cut()
                check_length(state, saved.state.offset, _promised(span, length_bytes))
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
                await self.store.delete(session.key)
            return value
        finally:
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

    def _pipeline(self, state: UploadState, account: Account) -> PartPipeline:
        return PartPipeline(self.store, self.settings.parts_in_flight, account, state, state.hasher())

    async def _run(self, pipeline: PartPipeline, body: Body, saved: _Saved) -> UploadState:
        try:
            return await pipeline.run(body)
        except KeyMissing as error:
            raise UploadUnknown(_PARTS_GONE) from error
        except BaseException:
            await self._drop_unsaved(saved, pipeline.state)
            raise

    async def _open(self, session: Session, span: Span | None, algorithm: str | None = None) -> _Saved:
        """Find where the upload stands, without a store call if the client cannot have sent anything yet."""
        fresh = session.token.offset == 0
        if fresh and (span is None or span.start == 0) and self.store.features.conditional_create:
            return self._nothing(algorithm or session.token.algorithm)
        saved = await self._load(session)
        expected = span.start if span is not None else session.token.offset
        if saved.state.offset != expected:
            raise _refused(saved.state.offset)
        if saved.etag is None and algorithm is not None:
            return self._nothing(algorithm)
        return saved

    async def _after_all(
        self, session: Session, saved: _Saved, state: UploadState, pipeline: PartPipeline
    ) -> tuple[_Saved, UploadState, PartPipeline]:
        """Commit what earlier chunks sent, though the client came back with the Location of the very first answer."""
        try:
            loaded = await self._load(session)
        except UploadUnknown:
            return saved, state, pipeline
        if loaded.etag is None:
            return saved, state, pipeline
        return loaded, loaded.state, self._pipeline(loaded.state, pipeline.account)

    def _nothing(self, algorithm: str) -> _Saved:
        return _Saved(UploadState(algorithm, self.settings.part_size_bytes), None)

    async def _load(self, session: Session) -> _Saved:
        try:
            fetched = await self.store.get(session.key)
        except KeyMissing:
            if session.token.offset:
                msg = "there is no such upload: it was finished, cancelled or timed out; begin one with POST"
                raise UploadUnknown(msg) from None
            return self._nothing(session.token.algorithm)
        state = UploadState.decode(fetched.body)
        if state.cancelled:
            msg = "this upload was cancelled: begin one with POST"
            raise UploadUnknown(msg)
        return _Saved(state, fetched.etag)

    async def _accept(self, session: Session, saved: _Saved, state: UploadState, promised_bytes: int | None) -> None:
        check_length(state, saved.state.offset, promised_bytes)
        await self._save(session, saved, state)

    async def _save(self, session: Session, saved: _Saved, state: UploadState) -> None:
        """Write the state after a chunk; raises `ConditionFailed` where another chunk was faster."""
        if state.offset == 0:
            return
        features = self.store.features
        with within_deadline(CLEANUP_S, shield=True):
            if saved.etag is None:
                await self.store.put(session.key, state.encode(), if_none_match=features.conditional_create)
            else:
                if_match = saved.etag if features.conditional_replace else None
                await self.store.put(session.key, state.encode(), if_match=if_match)

    async def _out_of_order(self, session: Session) -> ChunkOutOfOrder:
        return _refused((await self._load(session)).state.offset)

    async def _drop_unsaved(self, saved: _Saved, state: UploadState) -> None:
        """Abort a multipart that this request began, and that no saved state names."""
        if saved.state.multipart_id is None:
            await self.commits.drop_multipart(state)

    async def _abandon(self, session: Session, saved: _Saved, state: UploadState) -> None:
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
