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

    def recall(self, digest: bytes, now: float) -> Answer | None:
        """Return the answer. `None`: it was never kept, it was dropped, or its time is over."""
        until, answer = self._answers.get(digest, (0.0, None))
        if answer is None or until <= now:
            self._answers.pop(digest, None)
            return None
        self._answers.move_to_end(digest)
        return answer

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
