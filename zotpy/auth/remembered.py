"""Answers about passwords that count for a while, by a keyed hash of what was asked.

The hash tells nothing to a reader of the memory, because the key is made anew in each process.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from zotpy.auth.latest_used import LatestUsed

Answer = TypeVar("Answer")
MOST_REMEMBERED = 4096


@dataclass(slots=True)
class Remembered(Generic[Answer]):
    """At most `MOST_REMEMBERED` answers, without those that were not used for the longest time."""

    for_s: float
    """How long each answer counts; 0: not at all."""
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _answers: LatestUsed[Answer] = field(default_factory=LatestUsed, init=False, repr=False)

    def recall(self, *asked: bytes) -> Answer | None:
        """Return the answer to this. `None`: it was never kept, it was forgotten, or its time is over."""
        return self._answers.recall(self._digest(asked), trio.current_time())

    def keep(self, answer: Answer, *asked: bytes) -> None:
        """Keep the answer to this from now on."""
        self._keep(answer, self._digest(asked))

    def renew(self, *asked: bytes) -> Answer | None:
        """Return the answer to this as `recall` does, and keep it from now on: one that cannot become wrong."""
        digest = self._digest(asked)
        if (answer := self._answers.recall(digest, trio.current_time())) is not None:
            self._keep(answer, digest)
        return answer

    def _keep(self, answer: Answer, digest: bytes) -> None:
        self._answers.keep(digest, answer, trio.current_time() + self.for_s, MOST_REMEMBERED)

    def mac(self, data: bytes) -> bytes:
        """Return 32 bytes that follow from the data, and that nobody can guess who has no part of this process."""
        return hmac.digest(self._key, data, hashlib.sha256)

    def _digest(self, asked: tuple[bytes, ...]) -> bytes:
        return self.mac(b"".join(len(part).to_bytes(4, "big") + part for part in asked))
