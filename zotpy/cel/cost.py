"""What an expression may cost at most, as a function of how long its input is.

The library bounds how many steps all loops of an evaluation take, and not what one step costs: a few calls of
`replace` within each other take minutes and gigabytes. Nothing can stop them, and the replica does nothing else
meanwhile. So the cost is bounded before the evaluation, from the tree of the expression and the length of its input.
Kubernetes does so for its own CEL.

A cost is in units of about 15 ns, which is what the library takes for a byte of a value that it copies or converts. A
size is in bytes; each item of a list counts for at least `ITEM_BYTES` (`size_of`). All bounds are for the worst input
of that size.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zotpy.cel.tree import Call, Collection, Constant, Field, Fold, Name, Node

ITEM_BYTES = 4
MOST_STEPS = 10_000
"""The library ends an evaluation whose loops take more steps together."""
MOST_LOOPS = 3
"""How many loops may be within each other."""
MOST_LEVELS = 16
"""How deep the values of an input may be."""
LONGEST_PATTERN = 256
_COPIED = 3
"""What an item of a list costs that is copied at each step, of which there are half of all on average."""
_CONVERTED = 50
"""What a value of the input costs that is converted: at each use of its variable, beside its bytes."""
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_DIGITS = 1350
"""What one clause of `format` may add: a number with a thousand digits behind the point."""


class Unbounded(ValueError):
    """Nobody can say what an expression costs."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long a value is: its bytes, and how many values it consists of."""

    size: float
    items: float = 1

    def __add__(self, other: "Size") -> "Size":
        return Size(self.size + other.size, self.items + other.items)


@dataclass(frozen=True, slots=True)
class Bound(Size):
    """How long a value is at most, and what it costs at most."""

    cost: float = 0


_SMALL = Size(16)
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


def cost_of(tree: Node, given: Size, single: frozenset[str] = frozenset()) -> float:
    """Return what an evaluation costs at most whose input is so long. Raises `Unbounded`.

    `single` names the variables that are neither lists nor maps.
    """
    return _bound(tree, {}, _Place(given, single)).cost


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in an expression a node is."""

    given: Size
    single: frozenset[str]
    loops: int = 0
    times: float = 1
    """How often it is evaluated at most."""


def _bound(node: Node, known: Mapping[str, Size], place: _Place) -> Bound:
    """Bound a node. `known` has the sizes of the variables of loops."""
    if isinstance(node, Constant):
        return Bound(node.size_bytes + ITEM_BYTES, 1, 1)
    if isinstance(node, Name):
        return _variable(node.name, known, place)
    if isinstance(node, Field):
        of = _bound(node.of, known, place)
        return Bound(of.size, of.items, of.cost + 1)
    if isinstance(node, Fold):
        return _fold(node, known, place)
    below = node.items if isinstance(node, Collection) else node.arguments
    bounds = [_bound(each, known, place) for each in below]
    before = sum(each.cost for each in bounds)
    if isinstance(node, Collection):
        size = ITEM_BYTES * (1 + len(bounds)) + sum(each.size for each in bounds)
        return Bound(size, 1 + sum(each.items for each in bounds), before + size)
    found, cost = _call(node, bounds)
    return Bound(found.size, found.items, before + cost)


def _variable(name: str, known: Mapping[str, Size], place: _Place) -> Bound:
    """Bound a variable of a loop, or one of the input. Each use copies it, or converts it besides."""
    if (held := known.get(name)) is not None:
        return Bound(held.size, held.items, held.size + 1)
    items = 1 if name in place.single else place.given.items
    return Bound(place.given.size, items, place.given.size + _CONVERTED * items + 1)


def _fold(node: Fold, known: Mapping[str, Size], place: _Place) -> Bound:
    """Bound a loop. The values that it steps through are together no longer than what it steps through.

    What a step costs grows at least as fast as its value. So all steps cost no more than one step with everything, and
    all others with next to nothing.
    """
    if place.loops == MOST_LOOPS:
        msg = f"has more than {MOST_LOOPS} nested loops"
        raise Unbounded(msg)
    over, beginning = _bound(node.over, known, place), _bound(node.beginning, known, place)
    items = len(node.over.items) if isinstance(node.over, Collection) else over.items
    steps = min(items, MOST_STEPS / place.times + 1)
    within = replace(place, loops=place.loops + 1)
    often = replace(within, times=place.times * max(steps, 1))
    grown, cost = Size(beginning.size, beginning.items), over.cost + beginning.cost
    for value, times, there in ((_SMALL, steps, often), (over, min(steps, 1), within)):
        inner = {**known, **dict.fromkeys(node.variables, value), node.so_far: Size(0, 0)}
        found = [_bound(each, inner, there) for each in node.steps]
        cost += times * sum(each.cost for each in found)
        if not (isinstance(node.steps[-1], Call) and node.steps[-1].function in _LOGIC):
            grown += Size(times * found[-1].size, times * found[-1].items)
            cost += _COPIED * times * min(items, MOST_STEPS)  # a list that is collected is copied at each step
    result = _bound(node.result, {**known, node.so_far: grown}, place)
    return Bound(result.size, result.items, cost + result.cost)


def _call(node: Call, sizes: Sequence[Size]) -> tuple[Size, float]:
    """Return the size of what a function returns, and what it costs itself."""
    name, everything = node.function, sum(sizes, Size(0, 0))
    if name in _LOGIC:
        return _SMALL, 1
    if name in _SHORT:
        return _SMALL, everything.size + 1
    if name in _LINEAR:
        return everything + _SMALL, everything.size + 1
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
    return _SMALL, sum(each.size for each in sizes) + 1


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
    return _SMALL, 10 * (one.size + other.size) + 20 * one.items * other.items


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
    return _SMALL, 15 * states + 3 * sizes[0].size * states


_CLOCKS = """
    getFullYear getMonth getDayOfYear getDayOfMonth getDate getDayOfWeek getHours getMinutes getSeconds getMilliseconds
"""
_LOGIC = frozenset({"_&&_", "_||_", "!_", "@not_strictly_false"})
_TO_SMALL = """
    _==_ _!=_ _<_ _<=_ _>_ _>=_ @in _-_ _*_ _/_ _%_ -_ size type int uint double bool timestamp duration hasValue
    contains startsWith endsWith indexOf lastIndexOf optional.none
"""
_TO_AS_MUCH = """
    _+_ _?_:_ _[_] _?._ _[?_] string bytes dyn charAt lowerAscii upperAscii substring trim reverse strings.quote
    base64.encode base64.decode optional.of optional.ofNonZeroValue value or orValue
"""
_SHORT, _LINEAR = frozenset(_TO_SMALL.split()), frozenset(_TO_AS_MUCH.split())
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
