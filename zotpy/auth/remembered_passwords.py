"""Answers about passwords that count for a while, by a keyed hash of what was asked (`zotpy.auth.keyed_hash`)."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from zotpy.auth.keyed_hash import KeyedHash
from zotpy.auth.latest_used import LatestUsed

Answer = TypeVar("Answer")
MOST_REMEMBERED = 4096


@dataclass(slots=True)
class Remembered(Generic[Answer]):
    """At most `MOST_REMEMBERED` answers, without those that were not used for the longest time."""

    for_s: float
    """How long each answer counts; 0: not at all."""
    _hash: KeyedHash = field(default_factory=KeyedHash, init=False, repr=False)
    _answers: LatestUsed[Answer] = field(default_factory=LatestUsed, init=False, repr=False)

    def recall(self, *asked: bytes) -> Answer | None:
        """Return the answer to this. `None`: it was never kept, it was forgotten, or its time is over."""
        return self._answers.recall(self._digest(asked), trio.current_time())

    def keep(self, answer: Answer, *asked: bytes) -> None:
        """Keep the answer to this from now on."""
        self._answers.keep(self._digest(asked), answer, trio.current_time() + self.for_s, MOST_REMEMBERED)

    def renew(self, *asked: bytes) -> Answer | None:
        """Return the answer to this as `recall` does, and keep it from now on: one that cannot become wrong."""
        now = trio.current_time()
        return self._answers.recall(self._digest(asked), now, now + self.for_s)

    def mac(self, data: bytes) -> bytes:
        """Return 32 bytes that follow from the data, and that nobody can guess who has no part of this process."""
        return self._hash.of(data)

    def _digest(self, asked: tuple[bytes, ...]) -> bytes:
        return self._hash.of(str([*map(len, asked)]).encode() + b"".join(asked))
