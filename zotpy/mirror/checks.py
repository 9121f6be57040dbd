"""What upstreams said about tags, noted in the bucket for all replicas; what they do not have is noted in memory.

A note is an object of its own beside the tag. Its age is the store's own time. A lost note costs one more question.
"""

from collections import OrderedDict
from dataclasses import dataclass

import trio

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.store.interface import Fetched, KeyMissing, Store

ABSENT_S = 60.0
"""How long a replica remembers that no upstream has something."""
MOST_NOTED = 10_000
LONGEST_NOTE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Check:
    """What an upstream said about a tag."""

    digest: Digest
    age_s: float
    """How long ago, by the store's clock."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The notes in the bucket."""

    store: Store

    async def read(self, repo: RepositoryName, tag: Tag) -> Check | None:
        """Return the last answer of an upstream about a tag, with one store call; `None`: no answer is known."""
        try:
            found = await self.store.get(keys.mirror_check(repo, tag), most_bytes=LONGEST_NOTE_BYTES)
            digest = Digest.parse(found.body.decode("ascii", "replace"))
        except (KeyMissing, DigestInvalid):
            return None
        return Check(digest, _age_s(found))

    async def write(self, repo: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Note that the upstream has just said that the tag names this manifest."""
        await self.store.put(keys.mirror_check(repo, tag), str(digest).encode())

    async def asked_s(self, repo: RepositoryName, subject: Digest) -> float | None:
        """Return how long ago an upstream was asked for the referrers of a manifest; `None`: nothing is known of it."""
        return await self._noted_s(keys.mirror_referrers(repo, subject))

    async def copied_s(self, content: Digest) -> float | None:
        """Return how long ago a run copied all of a registry; `None`: nothing is known of it."""
        return await self._noted_s(keys.mirror_run(content))

    async def _noted_s(self, key: str) -> float | None:
        try:
            return _age_s(await self.store.get(key))
        except KeyMissing:
            return None

    async def note_copied(self, content: Digest) -> None:
        """Note that it was just copied."""
        await self.store.put(keys.mirror_run(content), b"")

    async def note_asked(self, repo: RepositoryName, subject: Digest) -> None:
        """Note that an upstream was just asked for them."""
        await self.store.put(keys.mirror_referrers(repo, subject), b"")


def _age_s(note: Fetched) -> float:
    return (note.store_time - note.last_modified).total_seconds()


class Noted:
    """What this replica noted about references in memory, for a while: such as that no upstream has something."""

    def __init__(self, life_s: float = ABSENT_S) -> None:
        """Remember nothing yet."""
        self._life_s = life_s
        self._until: OrderedDict[tuple[RepositoryName, Reference], float] = OrderedDict()

    def __contains__(self, wanted: tuple[RepositoryName, Reference]) -> bool:
        return trio.current_time() < self._until.get(wanted, -1.0)

    def add(self, repo: RepositoryName, reference: Reference) -> None:
        """Note a reference. If too many are noted, the oldest is forgotten."""
        self._until.pop((repo, reference), None)
        self._until[repo, reference] = trio.current_time() + self._life_s
        if len(self._until) > MOST_NOTED:
            self._until.popitem(last=False)

    def discard(self, repo: RepositoryName, reference: Reference) -> None:
        """Forget a reference, if it is noted."""
        self._until.pop((repo, reference), None)

    def forget(self) -> None:
        """Forget all of it."""
        self._until.clear()
