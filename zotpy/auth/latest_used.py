"""Answers that count until a time, each by the hash of what was asked. Those not used for the longest time go first."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(slots=True)
class LatestUsed(Generic[Answer]):
    """Answers by hash. Its callers say what time it is, by a clock of theirs."""

    _answers: OrderedDict[bytes, tuple[float, Answer]] = field(default_factory=OrderedDict, init=False, repr=False)
    """Each with the time until which it counts, the latest use last."""

    def recall(self, digest: bytes, now: float, until: float | None = None) -> Answer | None:
        """Return the answer. `None`: it was never kept, it was dropped, or its time is over.

        With `until` it counts from now on until then.
        """
        if (kept := self._answers.get(digest)) is None:
            return None
        if kept[0] <= now:
            del self._answers[digest]
            return None
        if until is not None:
            self._answers[digest] = until, kept[1]
        self._answers.move_to_end(digest)
        return kept[1]

    def keep(self, digest: bytes, answer: Answer, until: float, most: int) -> None:
        """Keep an answer, and `most` of all of them."""
        self._answers[digest] = until, answer
        self._answers.move_to_end(digest)
        while len(self._answers) > most:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        """Drop all of them."""
        self._answers.clear()

    def __len__(self) -> int:
        return len(self._answers)
