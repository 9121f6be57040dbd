"""The copying of one blob from its upstreams to the bucket, by the one replica whose turn it is.

It is an upload whose body comes from an upstream: one of its own, or one that a killed replica has left in the middle.
"""

from dataclasses import dataclass
from functools import partial

import structlog
import trio

from zotpy.concurrency import beside
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.core.units import MIB
from zotpy.mirror.continuing import left_behind, note_of
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.present import Present
from zotpy.mirror.rules import Origin, source_of
from zotpy.mirror.source import BlobSource
from zotpy.mirror.turns import Note, Turns
from zotpy.mirror.upstreams import Upstreams
from zotpy.registry.pushing.sessions import Session
from zotpy.registry.registry import Registry
from zotpy.upstream.errors import UpstreamError

SAVE_EVERY_BYTES = 64 * MIB
"""How much of a copy another replica has to fetch again at most, if this one is killed; and the parts under way."""
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

    async def run(self) -> BlobValue:
        """Bring it once no other replica does, if it is not here by then.

        Raises `UpstreamError`, `DigestInvalid`, `SizeInvalid`, other errors of uploads, and `StoreError`.
        """
        session = self.registry.uploads.begin(self.repo, self.digest.algorithm)
        note = Note(note_of(session))
        turns = Turns(self.registry.store, source_of(self.origins))
        return await turns.alone(self.digest, note, partial(self._alone, session, note))

    async def _alone(self, session: Session, note: Note, left: str) -> BlobValue:
        """Bring it now. See `Turns.alone` for `left`."""
        repo, digest, copy = self.repo, self.digest, self.copy
        if (value := await self._shared()) is not None:
            return value
        uploads = self.registry.uploads
        if left and (begun := await left_behind(uploads, repo, digest.algorithm, left)) is not None:
            session, note.text = begun, note_of(begun)
            copy.go_on_at(session.token.offset)
            log.info("copy_continued", repository=repo.text, digest=str(digest), at=session.token.offset)
        source = BlobSource(self.upstreams, self.origins, digest, copy, self.events)
        try:
            if (value := await self._without_bytes(source)) is not None:
                return value
            left_bytes = None if copy.size_bytes is None else copy.size_bytes - copy.first
            value = await uploads.finish(
                session,
                digest,
                source,
                None,
                left_bytes,
                on_right=copy.confirm,
                save_every_bytes=SAVE_EVERY_BYTES,
            )
            self.events.on_mirror_copy("copied")
            return value
        finally:
            with trio.CancelScope(shield=True):
                await source.close()

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
