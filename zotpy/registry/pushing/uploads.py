"""Uploads: any replica that the next request reaches can begin, continue and commit one (spec, *Pushing blobs*).

`zotpy.core.upload_state` has the table of what each request may do.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from zotpy.bucket.keyring import Keyring
from zotpy.concurrency import cleaning_up
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    ChunkOutOfOrder,
    TooManyRequests,
    UploadUnknown,
)
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.record_values import BlobValue
from zotpy.core.upload_state import UploadState
from zotpy.core.upload_tokens import UploadToken
from zotpy.memory.accounts import Account
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.pushing.committing import Commit
from zotpy.registry.pushing.finishing import Finishing
from zotpy.registry.pushing.intake import GONE, Intake
from zotpy.registry.pushing.kept import keep
from zotpy.registry.pushing.pipeline import Body, PartPipeline
from zotpy.registry.pushing.recent import Recent
from zotpy.registry.pushing.sessions import BEGINNING_BYTES, Session, Sessions, check_length, promised, refused
from zotpy.registry.pushing.states import SavedState
from zotpy.settings import Settings
from zotpy.store.holds import Holds
from zotpy.store.interface import ConditionFailed, KeyMissing, Store


@dataclass(frozen=True, slots=True)
class Uploads:
    """All requests that send blobs."""

    store: Store
    sessions: Sessions
    commits: Commit
    keyring: Keyring
    budget: MemoryBudget
    settings: Settings
    holds: Holds = field(default_factory=Holds)
    recent: Recent = field(default_factory=Recent)

    def begin(self, repo: RepositoryName, algorithm: str, owner: str = "") -> Session:
        """Begin an upload without a store call (end-4a). Only its `owner` can go on with it.

        Raises `TooManyRequests` if the store does not answer and bodies wait for the memory of held requests. A client
        can repeat a POST, and many cannot repeat a body.
        """
        if self.holds.calls and self.budget.waiting:
            msg = f"the store does not answer, and {self.budget.waiting} uploads wait for memory: try again"
            raise TooManyRequests(msg)
        return Session(repo, UploadToken(repo.text, keys.new_id(), algorithm, 0, owner))

    async def find(self, repo: RepositoryName, upload_id: str, token: str, owner: str = "") -> Session:
        """Check what a client brings back from a Location. Raises `UploadUnknown`, also if it is another's upload."""
        return Session(repo, await self.keyring.verify(token, repo.text, upload_id, owner))

    async def status(self, session: Session) -> Session:
        """Return the session with the offset that is safe (end-13). Raises `UploadUnknown`."""
        return session.at((await self.sessions.look(session)).offset)

    async def cancel(self, session: Session) -> None:
        """End an upload. Its parts are deleted, and a chunk under way cannot bring it back. Raises `UploadUnknown`."""
        self.recent.drop(session.key)
        state = await self.sessions.look(session)
        await self.store.put(session.key, state.tombstone().encode())
        await self.commits.placing.drop_multipart(state)

    async def abandon(self, session: Session) -> None:
        """Delete the parts and the state of an upload with which nobody should go on. It may be over already.

        If a request is still under way, it fails when it needs them. Never raises a `StoreError`.
        """
        with cleaning_up(), suppress(UploadUnknown):
            saved = await self.sessions.load(session, beginning=BEGINNING_BYTES)
            await self.intake.abandon(saved, saved.state)

    async def chunk(
        self,
        session: Session,
        body: Body,
        span: Span | None,
        length_bytes: int | None,
        account: Account | None = None,
    ) -> Session:
        """Take one chunk (end-5), charge `account` for its bytes, and return the session after it.

        If a body is cut, the bytes before the cut are kept, and the cut is raised. Raises `ChunkOutOfOrder`,
        `SizeInvalid`, `BlobTooLarge`, `UploadUnknown`. If the store fails, the upload continues from the last
        checkpoint.
        """
        async with self.sessions.reading_tail(session) as leave:
            promised_bytes = promised(span, length_bytes)
            saved = await self.sessions.open(session, span, promised_bytes)
            may_be_all = saved.state.offset == 0 and span is None
            account = account or self.budget.account()
            pipeline = self.intake.pipeline(saved.state, account, saved.save, may_be_all=may_be_all)
            pipeline.on_begun = leave
            return await self._chunk(session, saved, pipeline, body, promised_bytes)

    async def _chunk(
        self, session: Session, saved: SavedState, pipeline: PartPipeline, body: Body, promised_bytes: int | None
    ) -> Session:
        """Take one chunk after what is saved."""
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
                raise UploadUnknown(GONE) from error
            except BaseException:
                await self.intake.drop_unsaved(saved, pipeline.state)
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
        on_right: Callable[[], None] | None = None,
        *,
        save_every_bytes: int | None = None,
    ) -> BlobValue:
        """Take the last chunk, which may be all or nothing, and make the blob exist (end-6 and end-4b).

        `on_right` is called as soon as the bytes are known to have the digest, which is before the blob exists.
        With `save_every_bytes` the state of a longer body is saved in its middle, so that the upload can go on from
        there if this replica is killed. Such a body comes from an upstream, and clients read it meanwhile: it runs
        ahead of the store (see `Limits`).

        Raises `DigestInvalid`, `SizeInvalid`, `UploadInvalid`, which end the upload. Raises `ChunkOutOfOrder`,
        `ClientStalled`, `StoreError`, after which what earlier requests sent still exists. Raises `UploadUnknown`.
        """
        finishing = Finishing(self.sessions, self.commits, self.intake, self.settings, self.recent, save_every_bytes)
        account = account or self.budget.account()
        return await finishing.finish(session, digest, body, span, length_bytes, account, on_right)

    @property
    def intake(self) -> Intake:
        """What takes in bodies."""
        return Intake(self.store, self.commits, self.budget, self.settings)

    async def _overtaken(self, session: Session, saved: SavedState, mine: UploadState) -> ChunkOutOfOrder:
        """Return where the upload stands after another request continued it. Raises `UploadUnknown` if it is over.

        Parts that no saved state names are dropped: another chunk began parts of its own, or the upload was cancelled.
        """
        try:
            there = await self.sessions.look(session)
        except UploadUnknown:
            await self.commits.placing.drop_multipart(mine)
            raise
        except BaseException:
            await self.intake.drop_unsaved(saved, mine)
            raise
        if there.multipart != mine.multipart:
            await self.commits.placing.drop_multipart(mine)
        return refused(there.offset)
