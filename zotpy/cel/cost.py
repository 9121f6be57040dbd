"""What an expression may cost at most, as a function of how long its input is.

The library bounds how many steps all loops of an evaluation take, and not what one step costs: a few calls of
`replace` within each other take minutes and gigabytes. Nothing can stop them, and the replica does nothing else
meanwhile. So the cost is bounded before the evaluation, from the tree of the expression and the length of its input.
Kubernetes does so for its own CEL.

A cost is in units of about 15 ns, which is what the library takes for a byte of a value that it copies or converts. All
bounds are for the worst input of a size (`zotpy.cel.sizes`). `zotpy.cel.function_costs` has those of single functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zotpy.cel.function_costs import LOGIC, Unbounded, cost_of_call
from zotpy.cel.sizes import ITEM_BYTES, SMALL, Size
from zotpy.cel.tree import Call, Collection, Constant, Field, Fold, Name, Node

MOST_STEPS = 10_000
"""The library ends an evaluation whose loops take more steps together."""
MOST_LOOPS = 3
"""How many loops may be within each other."""
_COPIED = 3
"""What an item of a list costs that is copied at each step, of which there are half of all on average."""
_CONVERTED = 50
"""What a value of the input costs that is converted: at each use of its variable, beside its bytes."""


@dataclass(frozen=True, slots=True)
class Bound(Size):
    """How long a value is at most, and what it costs at most."""

    cost: float = 0


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
    found, cost = cost_of_call(node, bounds)
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
    for value, times, there in ((SMALL, steps, often), (over, min(steps, 1), within)):
        inner = {**known, **dict.fromkeys(node.variables, value), node.so_far: Size(0, 0)}
        found = [_bound(each, inner, there) for each in node.steps]
        cost += times * sum(each.cost for each in found)
        if not (isinstance(node.steps[-1], Call) and node.steps[-1].function in LOGIC):
            grown += Size(times * found[-1].size, times * found[-1].items)
            cost += _COPIED * times * min(items, MOST_STEPS)  # a list that is collected is copied at each step
    result = _bound(node.result, {**known, node.so_far: grown}, place)
    return Bound(result.size, result.items, cost + result.cost)
