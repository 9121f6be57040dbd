"""The extension of sets, which the library leaves out: https://github.com/google/cel-go/tree/master/ext, "Sets"."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def _contains(these: Sequence[Any], those: Sequence[Any]) -> bool:
    return all(any(_is_same(each, other) for other in these) for each in those)


def _intersects(these: Sequence[Any], those: Sequence[Any]) -> bool:
    return any(_is_same(each, other) for each in those for other in these)


def _equivalent(these: Sequence[Any], those: Sequence[Any]) -> bool:
    return _contains(these, those) and _contains(those, these)


def _is_same(one: Any, other: Any) -> bool:
    """Compare as CEL does: a yes is no number, in lists and maps neither."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


SETS: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], bool]] = {
    "contains": _contains,
    "equivalent": _equivalent,
    "intersects": _intersects,
}
"""The functions by their names."""
