"""Tokens whose signature was good, so that a push of many requests pays for one check."""

from dataclasses import dataclass, field

from zotpy.auth.keyed_hash import KeyedHash
from zotpy.auth.latest_used import LatestUsed
from zotpy.auth.permission import Identity

MOST_REMEMBERED = 4096
LONGEST_REMEMBERED_BYTES = 4096
"""A longer token is checked each time."""


@dataclass(slots=True)
class Verified:
    """At most `MOST_REMEMBERED` tokens by a keyed hash, without those that were not used for the longest time."""

    _hash: KeyedHash = field(default_factory=KeyedHash, init=False, repr=False)
    _seen: LatestUsed[Identity] = field(default_factory=LatestUsed, init=False, repr=False)

    def recall(self, token: str, now: float) -> Identity | None:
        """Return whose token this is. `None`: it was never kept, it was forgotten, or its time is over."""
        return self._seen.recall(self._hash.of(token.encode()), now)

    def keep(self, token: str, identity: Identity, until: float) -> None:
        """Keep whose token this is until a time of the wall clock."""
        if len(token) <= LONGEST_REMEMBERED_BYTES:
            self._seen.keep(self._hash.of(token.encode()), identity, until, MOST_REMEMBERED)

    def clear(self) -> None:
        """Forget all of them."""
        self._seen.clear()

    def __len__(self) -> int:
        return len(self._seen)
