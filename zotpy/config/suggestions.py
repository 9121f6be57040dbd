"""What was meant by an unknown name: only a likely misspelling, because a far-fetched hint misleads."""

from collections.abc import Iterable

SHORT = 7
"""Up to this length one misspelt letter is accepted, above it two."""
_LEAST = 4
"""If a name is shorter than this, every other short name is close to it."""


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names`, all in lower case, that `name` is a slip of, or `None`; `_` and `-` do not count.

    A short name may lack the `s` of a plural, such as `url`.
    """
    plain, names = _plain(name), list(names)
    if f"{plain}s" in names:
        return f"{plain}s"
    found = [(slips(plain, _plain(other)), other) for other in names if abs(len(plain) - len(_plain(other))) <= 2]  # noqa: PLR2004 - more misspelt letters are never accepted
    distance, other = min(found, default=(SHORT, ""))
    allowed = 0 if len(plain) < _LEAST else 1 if len(plain) <= SHORT else 2
    return other if distance <= allowed else None


def slips(one: str, other: str) -> int:
    """Count the letters to insert, leave out, change, or swap with the next (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            best = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                best = min(best, before[column - 2] + 1)
            now.append(best)
        before, last = last, now
    return last[-1]


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
