"""Tokens whose signature was good, so that a push of many requests pays for one check."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from zotpy.auth.permission import Identity

MOST_REMEMBERED = 4096
LONGEST_REMEMBERED_BYTES = 4096
"""A longer token is checked each time."""


@dataclass(slots=True)
class Verified:
    """At most `MOST_REMEMBERED` tokens by their hash, without those that were not used for the longest time."""

    _seen: OrderedDict[bytes, tuple[float, Identity]] = field(default_factory=OrderedDict, init=False, repr=False)

    def recall(self, token: str, now: float) -> Identity | None:
        """Return whose token this is. `None`: it was never kept, it was forgotten, or its time is over."""
        digest = _digest(token)
        until, identity = self._seen.get(digest, (0.0, None))
        if identity is None or now >= until:
            self._seen.pop(digest, None)
            return None
        self._seen.move_to_end(digest)
        return identity

    def keep(self, token: str, identity: Identity, until: float) -> None:
        """Keep whose token this is until a time of the wall clock."""
        if len(token) > LONGEST_REMEMBERED_BYTES:
            return
        self._seen[_digest(token)] = until, identity
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them."""
        self._seen.clear()

    def __len__(self) -> int:
        return len(self._seen)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
