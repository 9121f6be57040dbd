"""Entries in the memory of one replica, for as long as the bucket's promise lasts (`zotpy.bucket.promise`).

It remembers only what existed, and only what the entry itself said. An entry that is missing, late, lost or a tombstone
is read again at each request, as well as a record whose entry is missing. So nothing that was pushed is ever missing
here, however short ago. What it remembers cannot change meanwhile, except that it is deleted. A blob's length and bytes
follow from its digest. A manifest's bytes follow from its digest too, and so does its media type if the manifest names
it. A manifest that names none can be pushed again with another one, so it is not remembered.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zotpy.bucket import promise as promises
from zotpy.bucket.entries import Seen
from zotpy.bucket.promise import Promise
from zotpy.core.digests import Digest
from zotpy.core.documents import read_stored
from zotpy.core.errors import ManifestInvalid
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue, Value
from zotpy.core.units import MIB

MOST_BYTES = 8 * MIB
"""How much memory they take at most, with what Python needs for each."""
LONGEST_BYTES = INLINE_LIMIT_BYTES
"""A longer manifest is not remembered."""
ENTRY_BYTES = 1536
"""What one takes beside the bytes of its value, measured."""

Name = tuple[RepositoryName, Kind, Digest]


@dataclass(frozen=True, slots=True)
class _Kept:
    """One entry."""

    value: Value
    young_for_s: float
    """How much longer its lease was young when it was read."""
    began_s: float
    """The moment before its read began."""
    until_s: float
    life_s: float
    """How long it was promised for."""
    size_bytes: int


class PromisedEntries:
    """What a replica may answer without asking the store."""

    def __init__(self, promise: Promise | None = None, on_hit: Callable[[], None] = lambda: None) -> None:
        """`on_hit` is called for each answer from memory."""
        self.promise = promise or Promise()
        self.used_bytes = 0
        self._on_hit = on_hit
        self._kept: dict[Name, _Kept] = {}
        """In about the order in which they end."""

    def begin(self) -> float | None:
        """Return the moment before a read, for `keep`; `None`: nothing is promised now."""
        return promises.boot_s() if self.promise.holds() else None

    def keep(self, name: Name, seen: Seen, began_s: float | None) -> None:
        """Remember what the entry said in a read that began at this moment."""
        if began_s is None:
            return
        earlier = self._kept.get(name)
        if earlier is not None and earlier.began_s > began_s:
            return
        self.forget(name)
        value = seen.value
        if value is None or seen.is_cut or not _is_fixed(value):
            return
        life_s, content_bytes = self.promise.life_s, len(value.content)
        if promises.boot_s() >= began_s + life_s:
            return
        size_bytes = content_bytes + ENTRY_BYTES
        self._make_room(size_bytes)
        self._kept[name] = _Kept(value, seen.young_for_s, began_s, began_s + life_s, life_s, size_bytes)
        self.used_bytes += size_bytes

    def find(self, name: Name) -> Value | None:
        """Return what is remembered for answering a read; `None`: ask the store."""
        kept = self._find(name)
        if kept is None:
            return None
        self._on_hit()
        return kept.value

    def rely(self, name: Name) -> Value | None:
        """Return the same for a client that then relies on the lease; `None`: ask the store.

        A lease that was young when it was read is up to L older by now. So it must have been younger by L.
        """
        kept = self._find(name)
        if kept is None or not self._is_young_enough(kept):
            return None
        self._on_hit()
        return kept.value

    def forget(self, name: Name) -> None:
        """Ask the store the next time."""
        if (kept := self._kept.pop(name, None)) is not None:
            self.used_bytes -= kept.size_bytes

    def _find(self, name: Name) -> _Kept | None:
        if not self._kept:  # no promise: no hash of a name for each request
            return None
        kept = self._kept.get(name)
        if kept is None:
            return None
        now_s = promises.boot_s()
        if now_s < self.promise.known_until_s and now_s < kept.until_s:
            return kept
        self.forget(name)
        return None

    def _is_young_enough(self, kept: _Kept) -> bool:
        return kept.young_for_s > kept.life_s

    def _make_room(self, size_bytes: int) -> None:
        """Drop what has ended, and the oldest if that is not enough."""
        now_s = promises.boot_s()
        while self._kept:
            name, oldest = next(iter(self._kept.items()))
            if now_s < oldest.until_s and self.used_bytes + size_bytes <= MOST_BYTES:
                return
            self.forget(name)


def _is_fixed(value: Value) -> bool:
    """Say whether a value is short enough to be remembered, and whether its digest decides all that clients see."""
    if len(value.content) > LONGEST_BYTES:
        return False
    if isinstance(value, BlobValue):
        return True
    try:
        return read_stored(value.content).get("mediaType") == value.media_type
    except ManifestInvalid:
        return False
