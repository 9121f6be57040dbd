"""What each function of CEL costs at most, and how long its result may be."""

import re
from collections.abc import Callable, Mapping, Sequence

from zotpy.cel.sizes import ITEM_BYTES, SMALL, Size
from zotpy.cel.tree import Call, Constant, Node

LONGEST_PATTERN = 256
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_DIGITS = 1350
"""What one clause of `format` may add: a number with a thousand digits behind the point."""


class Unbounded(ValueError):
    """Nobody can say what an expression costs."""


def cost_of_call(node: Call, sizes: Sequence[Size]) -> tuple[Size, float]:
    """Return the size of what a function returns, and what it costs itself."""
    name, everything = node.function, sum(sizes, Size(0, 0))
    if name in LOGIC:
        return SMALL, 1
    if name in _SHORT:
        return SMALL, everything.size + 1
    if name in _LINEAR:
        return everything + SMALL, everything.size + 1
    if (special := _SPECIAL.get(name)) is None:
        msg = f"calls {name}, and zotpy does not know what that costs"
        raise Unbounded(msg)
    return special(node.arguments, sizes)


def _clock(arguments: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    """Bound a look at a clock, perhaps that of a time zone.

    The library opens a file that has the name of the zone, and never forgets it. So no request may choose the name.
    """
    zones = arguments[1:]
    if not all(isinstance(zone, Constant) and zone.text is not None for zone in zones):
        msg = "reads the clock of a time zone that is no text in quotes"
        raise Unbounded(msg)
    return SMALL, sum(each.size for each in sizes) + 1


def _replace(_: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    size = (sizes[0].size + 1) * (1 + sizes[2].size)
    return Size(size), size + sizes[1].size


def _join(_: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    size = sizes[0].size + sizes[0].items * sum(each.size for each in sizes[1:])
    return Size(size), 2 * size


def _split(_: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    size = (1 + ITEM_BYTES) * (sizes[0].size + 1)
    return Size(size, sizes[0].size + 1), 2 * size


def _format(_: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    size = sizes[0].size * _MOST_DIGITS / 2 + 2 * sum(each.size for each in sizes)
    return Size(size), size


def _sets(_: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    """Bound what Python does here: each item of one list is compared with all of the other, once or twice."""
    one, other = sizes
    return SMALL, 10 * (one.size + other.size) + 20 * one.items * other.items


def _matches(arguments: Sequence[Node], sizes: Sequence[Size]) -> tuple[Size, float]:
    """Bound a match by RE2, which takes time linear in the text and in the states of the pattern."""
    pattern = arguments[-1]
    if not isinstance(pattern, Constant) or pattern.text is None:
        msg = "matches a pattern that is not a string in quotes"
        raise Unbounded(msg)
    if pattern.size_bytes > LONGEST_PATTERN or re.search(r"\\[pP]", pattern.text):
        msg = f"matches a pattern that has more than {LONGEST_PATTERN} bytes, or classes of Unicode such as \\pL"
        raise Unbounded(msg)
    states = float(pattern.size_bytes + 1)
    for least, most in _REPEATED.findall(pattern.text):
        states *= max(float(most or least), 1)
    return SMALL, 15 * states + 3 * sizes[0].size * states


_CLOCKS = """
    getFullYear getMonth getDayOfYear getDayOfMonth getDate getDayOfWeek getHours getMinutes getSeconds getMilliseconds
"""
LOGIC = frozenset({"_&&_", "_||_", "!_", "@not_strictly_false"})
_TOSMALL = """
    _==_ _!=_ _<_ _<=_ _>_ _>=_ @in _-_ _*_ _/_ _%_ -_ size type int uint double bool timestamp duration hasValue
    contains startsWith endsWith indexOf lastIndexOf optional.none
"""
_TO_AS_MUCH = """
    _+_ _?_:_ _[_] _?._ _[?_] string bytes dyn charAt lowerAscii upperAscii substring trim reverse strings.quote
    base64.encode base64.decode optional.of optional.ofNonZeroValue value or orValue
"""
_SHORT, _LINEAR = frozenset(_TOSMALL.split()), frozenset(_TO_AS_MUCH.split())
"""Functions that take time linear in their arguments, and return something small, or no more than their arguments."""
_SPECIAL: Mapping[str, Callable[[Sequence[Node], Sequence[Size]], tuple[Size, float]]] = {
    "replace": _replace,
    "join": _join,
    "split": _split,
    "format": _format,
    "matches": _matches,
    **dict.fromkeys(_CLOCKS.split(), _clock),
    "sets.contains": _sets,
    "sets.equivalent": _sets,
    "sets.intersects": _sets,
}
