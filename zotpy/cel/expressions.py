"""Expressions that are compiled once, at the start, and evaluated as often as requests need it.

An expression that goes wrong is never a yes: the library returns an error as a value, and Python takes that for true.
So the type of each result is looked at. Everything else that goes wrong raises `Failed`.

The environment is that of zot (`pkg/cel` of its source): the standard functions, optional values, and the extensions
strings, sets and encoders. Numbers of JSON are doubles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from zotpy.cel.cost import cost_of
from zotpy.cel.function_costs import Unbounded
from zotpy.cel.sets import SETS
from zotpy.cel.sizes import Size, size_of
from zotpy.cel.tree import Call, Constant, Field, Name, Node, read_tree, walk

if TYPE_CHECKING:
    from cel_expr_python import cel

LONGEST_EXPRESSION = 4096
"""Characters."""
MOST_COST = 1_000_000
"""Of one evaluation: about 15 ms. See `zotpy.cel.cost`."""
MOST_TOGETHER = 2 * MOST_COST
LEAST_INPUT = Size(1024, 64)
"""An expression that cannot take an input of this size is refused."""
_INPUTS = tuple(
    Size(size, items)
    for size in (LEAST_INPUT.size, 2048, 4096, 8192, 16384)
    for items in (LEAST_INPUT.items, 256, 1024, 4096)
)
MISSING = "needs the Python package {}, which zotpy's extra `cel` brings: install it"


class Failed(Exception):
    """An evaluation has no result. The text says why, and may say something of the input: it is for the log alone."""


@dataclass(slots=True)
class Allowance:
    """What the evaluations for one request may cost together."""

    left: float = MOST_TOGETHER

    def spend(self, cost: float) -> None:
        """Take what an evaluation costs at most. Raises `Failed` if it is not left."""
        self.left -= cost
        if self.left < 0:
            msg = "all expressions of the request together could take too long"
            raise Failed(msg)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    variables: frozenset[str]
    """Those of the environment that it uses."""
    tree: Node = field(compare=False, repr=False)
    _compiled: "cel.Expression" = field(compare=False, repr=False)
    _single: frozenset[str] = field(compare=False, repr=False)
    """Variables that are neither lists nor maps."""
    _costs: dict[Size, float] = field(compare=False, repr=False)
    """For those of `_INPUTS` that were needed so far."""

    def cost(self, data: Mapping[str, Any]) -> float:
        """Return what an evaluation costs at most. Raises `Failed` if that is too much."""
        try:
            given = sum((size_of(value) for value in data.values()), Size(0, 0))
        except ValueError as error:
            raise Failed(str(error)) from error
        most = next((each for each in _INPUTS if given.size <= each.size and given.items <= each.items), None)
        if most is not None and most not in self._costs:
            self._costs[most] = cost_of(self.tree, most, self._single)
        if most is None or (cost := self._costs[most]) > MOST_COST:
            msg = f"its input has {given.size:.0f} bytes in {given.items:.0f} values, with which it could take too long"
            raise Failed(msg)
        return cost

    def yes_or_no(self, data: Mapping[str, Any], allowance: Allowance | None = None) -> bool:
        """Evaluate it to a yes or a no. Raises `Failed`, also if the result is something else."""
        return bool(self._evaluate(data, bool, allowance))

    def text_of(self, data: Mapping[str, Any], allowance: Allowance | None = None) -> str:
        """Evaluate it to a text. Raises `Failed`, also if the result is something else."""
        return str(self._evaluate(data, str, allowance))

    def texts_of(self, data: Mapping[str, Any], allowance: Allowance | None = None) -> Sequence[str]:
        """Evaluate it to a list of texts. Raises `Failed`, also if the result is something else."""
        found: list[Any] = self._evaluate(data, list, allowance)
        if not all(isinstance(each, str) for each in found):
            msg = "the result is not a list of strings"
            raise Failed(msg)
        return found

    def value_of(self, data: Mapping[str, Any], allowance: Allowance | None = None) -> Any:
        """Evaluate it to anything that JSON has. Raises `Failed`."""
        value = self._evaluate(data, object, allowance)
        try:
            size_of(value)
        except ValueError as error:
            raise Failed(str(error)) from error
        return value

    def _evaluate(self, data: Mapping[str, Any], wanted: type, allowance: Allowance | None) -> Any:
        used = {name: value for name, value in data.items() if name in self.variables}
        (allowance or Allowance()).spend(self.cost(used))
        try:
            result = self._compiled.eval(data=used)
            kind, value = result.type().name(), result.plain_value()
        except Exception as error:  # whatever the library raises
            msg = f"{type(error).__name__}: {error}"
            raise Failed(msg) from error
        if kind in {"ERROR", "UNKNOWN"} or not isinstance(value, wanted):
            msg = f"the result is of the type {kind}: {str(value)[:LONGEST_EXPRESSION]}"
            raise Failed(msg)
        return value

    def fields_of(self, variable: str) -> frozenset[str] | None:
        """Return which fields of a map the expression reads. `None`: it may read any of them."""
        named, uses = set(), 0
        for node in walk(self.tree):
            if isinstance(node, Name):
                uses += node.name == variable
            elif isinstance(node, Field) and node.of == Name(variable):
                named.add(node.name)
                uses -= 1
            elif isinstance(node, Call) and node.function in {"_[_]", "_?._", "_[?_]"}:
                of, *keys = node.arguments
                if of == Name(variable) and isinstance(keys[0], Constant) and keys[0].text is not None:
                    named.add(keys[0].text)
                    uses -= 1
        return frozenset(named) if uses == 0 else None


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables of some expressions, by name: `bool`, `str`, `list` of texts, `map` of texts, or `timestamp`."""

    variables: Mapping[str, str]
    _env: "cel.Env" = field(compare=False, repr=False)

    def compile(self, text: str, wanted: str = "any") -> Expression:
        """Compile an expression. Raises `ValueError` with what is wrong with it.

        `wanted` is `bool`, `string`, `list` or `any`. What is known only from the input is looked at when it is there.
        """
        if len(text) > LONGEST_EXPRESSION:
            msg = f"has {len(text)} characters: an expression may have {LONGEST_EXPRESSION}"
            raise ValueError(msg)
        try:
            compiled = self._env.compile(text)
            kind = compiled.return_type().name()
            tree = read_tree(compiled.serialize())
        except Exception as error:
            raise ValueError(_explained(str(error))) from error
        if wanted != "any" and kind != "DYN" and not kind.lower().startswith(wanted):
            msg = f"is of the type {kind.lower()}, and {wanted} is needed"
            raise ValueError(msg)
        used = frozenset(node.name for node in walk(tree) if isinstance(node, Name)) & self.variables.keys()
        single = frozenset(name for name in used if self.variables[name] not in {"list", "map"})
        return Expression(text, used, tree, compiled, single, _bearable(tree, single))


def _bearable(tree: Node, single: frozenset[str]) -> dict[Size, float]:
    """Return what a short input costs. Raises `ValueError` if that is too much."""
    try:
        cost = cost_of(tree, LEAST_INPUT, single)
    except Unbounded as error:
        msg = f"could hold up a replica: it {error}"
        raise ValueError(msg) from error
    if cost > MOST_COST:
        msg = (
            f"could hold up a replica: {LEAST_INPUT.size} bytes of input in {LEAST_INPUT.items} values take it too long"
        )
        raise ValueError(msg)
    return {LEAST_INPUT: cost}


def _explained(problem: str) -> str:
    """Return the first line of what the library says, without its codes."""
    lines = [line.removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ") for line in problem.splitlines()]
    return f"is not a valid expression: {lines[0].removeprefix('<input>:')[:300]}" if lines else "is empty"


@cache
def environment(*variables: tuple[str, str]) -> Environment:
    """Make an environment of names and types. Raises `ModuleNotFoundError` without the library."""
    from cel_expr_python import cel  # noqa: PLC0415 - an extra, and large
    from cel_expr_python.ext import ext_encoders, ext_optional, ext_strings  # noqa: PLC0415

    kinds = cel.Type
    types = {
        "bool": kinds.BOOL,
        "str": kinds.STRING,
        "list": kinds.List(kinds.STRING),
        "map": kinds.Map(kinds.STRING, kinds.DYN),
        "timestamp": kinds.TIMESTAMP,
    }
    lists = [kinds.List(kinds.DYN)] * 2
    functions = [
        cel.FunctionDecl(f"sets.{name}", [cel.Overload(f"list_sets_{name}_list", kinds.BOOL, lists, impl=function)])
        for name, function in SETS.items()
    ]
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_encoders.ExtEncoders()]
    declared = {name: types[kind] for name, kind in variables}
    return Environment(dict(variables), cel.NewEnv(variables=declared, extensions=extensions, functions=functions))
