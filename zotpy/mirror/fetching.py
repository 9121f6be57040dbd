"""The copying of one blob from its upstreams to the bucket, by the one replica whose turn it is.

It is an upload whose body comes from an upstream: one of its own, or one that a killed replica has left in the middle.
"""

from dataclasses import dataclass, field
from functools import partial

import structlog
import trio

from zotpy.concurrency import beside
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, DigestInvalid, SizeInvalid, UploadInvalid, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.core.units import MIB
from zotpy.mirror.blob_source import BlobSource
from zotpy.mirror.continuing import left_behind, note_of
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.fullness import Fullness
from zotpy.mirror.passing import pass_on
from zotpy.mirror.present import Present
from zotpy.mirror.rules import Origin, source_of
from zotpy.mirror.turns import Note, Turns
from zotpy.mirror.upstreams import Upstreams
from zotpy.registry.pushing.sessions import Session
from zotpy.registry.registry import Registry
from zotpy.store.interface import StoreFull
from zotpy.upstream.errors import NotAtUpstream, RangeRefused, UpstreamError

SAVE_EVERY_BYTES = 64 * MIB
"""How much of a copy another replica has to fetch again at most, if this one is killed; and the parts under way."""
MOST_CHASES = 3
"""How often a copy begins farther on, because a replica that was only slow still saves more of it."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BlobFetch:
    """Brings one blob, and offers its bytes to those who read behind `copy`."""

    registry: Registry
    upstreams: Upstreams
    events: MirrorEvents
    origins: tuple[Origin, ...]
    repo: RepositoryName
    digest: Digest
    copy: Copy
    fullness: Fullness = field(default_factory=Fullness)

    async def run(self) -> BlobValue | None:
        """Bring it once no other replica does, if it is not here by then; `None`: it is not kept, as the store is full.

        Raises `UpstreamError`, `DigestInvalid`, `SizeInvalid`, other errors of uploads, and `StoreError`.
        """
        if self.fullness.has_room():
            with self.fullness.noting():
                return await self._kept()
        self.copy.keep_nothing()
        source = BlobSource(self.upstreams, self.origins, self.digest, self.copy, self.events)
        if self.copy.is_right or await pass_on(source, self.copy, self.digest):
            self.events.on_mirror_copy("passed")
        return None

    async def _kept(self) -> BlobValue:
        """Bring it into the bucket. Raises `StoreFull` as well."""
        session = self.registry.uploads.begin(self.repo, self.digest.algorithm)
        note = Note(note_of(session))
        turns = Turns(self.registry.store, source_of(self.origins))
        return await turns.alone(self.digest, note, partial(self._in_turn, session, note))

    async def _in_turn(self, session: Session, note: Note, left: str) -> BlobValue:
        """Bring it now, and let the note outlast an error if another copy can go on where this one ends."""
        try:
            return await self._alone(session, note, left)
        except (NotAtUpstream, DigestInvalid, SizeInvalid, UploadInvalid, UploadUnknown, StoreFull):
            raise
        except BaseException:
            note.outlasts = self.copy.first > 0 or self.copy.window.end >= SAVE_EVERY_BYTES
            raise

    async def _alone(self, session: Session, note: Note, left: str) -> BlobValue:
        """Bring it now. See `Turns.alone` for `left`."""
        if left and (begun := await left_behind(self.registry.uploads, self.repo, self.digest.algorithm, left)):
            note.text = note_of(begun)
            if (value := await self._continued(begun)) is not None:
                return value
            note.text = note_of(session)
        value = await self._shared()
        return await self._brought(session) if value is None else value

    async def _continued(self, begun: Session) -> BlobValue | None:
        """Go on with an upload that another replica left, or end it if the blob comes in another way.

        `None`: no upstream sends the rest of it, so the upload was ended, and the copy can begin anew.
        """
        copy, uploads = self.copy, self.registry.uploads
        if (value := await self._shared()) is not None:
            await uploads.abandon(begun)
            return value
        copy.go_on_at(begun.token.offset)
        log.info("copy_continued", repository=self.repo.text, digest=str(self.digest), at=copy.first)
        try:
            return await self._brought(begun)
        except (NotAtUpstream, RangeRefused) as error:
            await uploads.abandon(begun)
            if copy.begun.is_set():
                raise
            copy.go_on_at(0)
            if isinstance(error, NotAtUpstream):
                raise
            return None

    async def _brought(self, session: Session) -> BlobValue:
        """Ask the upstream, and bring the bytes after those of the session, unless the bucket has them."""
        source = BlobSource(self.upstreams, self.origins, self.digest, self.copy, self.events)
        try:
            value = await self._without_bytes(source)
            if value is None:
                self.fullness.check(self.copy.missing_bytes)
                with self.fullness.counting(self.copy):
                    return await self._copied(session, source)
        except StoreFull:
            await self.registry.uploads.abandon(session)
            raise
        finally:
            with trio.CancelScope(shield=True):
                await source.close()
        if session.token.offset:
            await self.registry.uploads.abandon(session)
        return value

    async def _copied(self, session: Session, source: BlobSource) -> BlobValue:
        """Take the bytes of an open source.

        If the replica that left the upload was only slow, it may save more of it until ours begins. Then ours begins
        there. Nothing was offered to readers before.
        """
        copy, chases = self.copy, 0
        while True:
            left_bytes = None if copy.size_bytes is None else copy.size_bytes - copy.first
            finish = partial(self.registry.uploads.finish, session, self.digest, source, None, left_bytes)
            try:
                value = await finish(on_right=copy.confirm, save_every_bytes=SAVE_EVERY_BYTES)
            except ChunkOutOfOrder as error:
                chases += 1
                if chases > MOST_CHASES or not copy.first < error.offset < (copy.size_bytes or 0):
                    raise
                session = session.at(error.offset)
                copy.go_on_at(error.offset)
                await source.go_on_with_copy()
            else:
                self.events.on_mirror_copy("copied")
                return value

    async def _without_bytes(self, source: BlobSource) -> BlobValue | None:
        """Open the blob at the upstream, and return it without its bytes if the bucket has them. Both take a while."""
        registry, repo, digest, copy = self.registry, self.repo, self.digest, self.copy
        present = Present(registry.mounts.records, registry.mounts.hints, registry.settings.gc.deadline_s)

        async def ask() -> None:
            copy.begin((await source.open()).length)

        try:
            may_be_here = await beside(partial(present.may_have, repo, digest), ask)
        except UpstreamError:
            value = await present.own(repo, digest)
            if value is None:
                raise
        else:
            if not may_be_here:
                return None
            value = await present.linked(repo, digest, copy.size_bytes)
        if value is not None:
            self.events.on_mirror_copy("linked")
        return value

    async def _shared(self) -> BlobValue | None:
        """Return the blob if another copy of it has ended between the look of the request and our turn.

        The upstream is asked only after this, so it sends each blob once. A turn that was free says nothing: another
        replica may have taken it and given it back since that look.
        """
        value = await self.registry.blobs.records.read_blob(self.repo, self.digest, by_entry_alone=True)
        if value is not None:
            self.events.on_mirror_copy("shared")
        return value
