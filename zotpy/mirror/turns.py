"""Who of all replicas copies a blob: one at a time, by an object in the bucket that says so.

A replica that begins a copy creates `mirror/copies/<digest>/<source>`, on the condition that it does not exist, and
writes it anew every few seconds while it copies. The others look at it until it is gone, and then find the blob, or
begin in turn. If it was not written for `SILENT_S`, by the store's clock, its holder has stopped. One of the others
takes its place, on the condition that the object is still the one that it saw.

A replica whose copy fails for the moment, or that stops, leaves the object with a mark instead of deleting it, if
another one can go on with the copy. Then the turn is free at once, and its note tells the next replica what is there.

Each set of upstreams has turns of its own: a slow one keeps nobody from what another has.

Only upstreams are saved by this. If two replicas copy the same blob, each copy is right.
"""

import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import trio

from zotpy.concurrency import cleaning_up, watched
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.store.interface import ConditionFailed, KeyMissing, Store, StoreError

RENEWAL_S = 5.0
SILENT_S = 15.0
LONGEST_BYTES = 1024
POLL_S = 0.25
"""How often a replica that waits looks."""
FREE = "! "
"""What comes before a note if nobody has the turn."""
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(slots=True)
class Note:
    """What the holder of a turn notes for others. It may be changed meanwhile."""

    text: str = ""
    """ASCII. It never begins with `FREE`."""
    outlasts: bool = False
    """Whether others should find it if the work ends with an error."""

    def words(self, mark: str = "") -> bytes:
        """Return a body that differs from every other one, so that its ETag does as well."""
        return f"{secrets.token_hex(16)} {mark}{self.text}".encode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of all digests."""

    store: Store
    source: str
    """Stands for the upstreams that are asked."""

    async def alone(self, digest: Digest, note: "Note", work: Callable[[str], Awaitable[T]]) -> T:
        """Return what `work` returns, once no other replica works. `note` is what others read if this one is killed.

        `work` is called with the note of a replica that stopped or failed in the middle, or an empty text. Another
        replica may have brought the blob just before. Without conditional writes no replica waits for another.
        """
        if not (self.store.features.conditional_create and self.store.features.conditional_replace):
            return await work("")
        key = keys.mirror_copy(digest, self.source)
        while (turn := await self._take(key, note)) is None:  # noqa: ASYNC110 - another replica sets no event here
            await trio.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        try:
            return await watched(turn.keep, partial(work, turn.left))
        finally:
            await turn.give_back()

    async def _take(self, key: str, note: "Note") -> "Turn | None":
        """Take the turn, if nobody has it or its holder is silent."""
        body = note.words()
        try:
            stored = await self.store.put(key, body, if_none_match=True)
        except ConditionFailed:
            pass
        else:
            return Turn(self.store, key, note, stored.etag)
        try:
            found = await self.store.get(key, most_bytes=LONGEST_BYTES)
            left = found.body.decode("ascii", "replace").partition(" ")[2]
            is_free = left.startswith(FREE)
            if not is_free and (found.store_time - found.last_modified).total_seconds() <= SILENT_S:
                return None
            stored = await self.store.put(key, body, if_match=found.etag)
        except (KeyMissing, ConditionFailed):
            return None
        if not is_free:
            log.warning("copy_taken_over", key=key)
        return Turn(self.store, key, note, stored.etag, left.removeprefix(FREE))


@dataclass(slots=True)
class Turn:
    """The turn of this replica."""

    store: Store
    key: str
    note: "Note"
    etag: str | None
    """That of our last writing; `None`: another replica has taken the turn."""
    left: str = ""
    """The note of the replica that stopped in the middle, if one did."""

    async def keep(self) -> None:
        """Write it anew again and again, until cancelled. If that fails, another replica begins as well."""
        while True:
            await trio.sleep(RENEWAL_S)
            if self.etag is not None:
                try:
                    self.etag = (await self.store.put(self.key, self.note.words(), if_match=self.etag)).etag
                except (ConditionFailed, KeyMissing):
                    self.etag = None
                except StoreError as error:
                    log.warning("turn_not_renewed", key=self.key, reason=str(error))

    async def give_back(self) -> None:
        """Let the next one begin, and leave our note to it if that is worth something."""
        if self.etag is not None:
            with cleaning_up(), suppress(ConditionFailed, KeyMissing):
                if self.note.outlasts:
                    await self.store.put(self.key, self.note.words(FREE), if_match=self.etag)
                else:
                    await _delete(self.store, self.key, self.etag)


async def _delete(store: Store, key: str, etag: str) -> None:
    """Delete the object if it is the one that we wrote. Without that condition it is looked at before.

    Raises `ConditionFailed`, `KeyMissing`.
    """
    if store.features.conditional_delete:
        await store.delete(key, if_match=etag)
    elif (await store.get(key)).etag == etag:
        await store.delete(key)
