"""How long the input of an expression is, and the values that come of it.

A size is in bytes. Each item of a list counts for at least `ITEM_BYTES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ITEM_BYTES = 4
MOST_LEVELS = 16
"""How deep the values of an input may be."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long a value is: its bytes, and how many values it consists of."""

    size: float
    items: float = 1

    def __add__(self, other: "Size") -> "Size":
        return Size(self.size + other.size, self.items + other.items)


SMALL = Size(16)
"""The size of a value that is as good as none, such as a number."""


def size_of(value: Any, levels: int = MOST_LEVELS) -> Size:
    """Return the size of an input. Raises `ValueError` if it has too many levels."""
    if levels < 0:
        msg = f"the values have more than {MOST_LEVELS} levels"
        raise ValueError(msg)
    if isinstance(value, str):
        return Size(ITEM_BYTES + len(value) * (1 if value.isascii() else 4))
    if isinstance(value, Mapping):
        below = [size_of(name, 0) + size_of(each, levels - 1) for name, each in value.items()]
    elif isinstance(value, Sequence):
        below = [size_of(each, levels - 1) for each in value]
    else:
        return Size(2 * ITEM_BYTES)
    return sum(below, Size(ITEM_BYTES))
