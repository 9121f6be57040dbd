"""A configuration file as a tree: JSON or YAML, in which one name given twice is a mistake.

A file is bounded in its length, in how deep it is nested, and in how many values it holds after each YAML alias is
replaced by its content. Without the last bound, a few lines of aliases to aliases would be a billion values.
"""

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from zotpy.config.errors import ConfigError
from zotpy.files import read_bounded

LARGEST_FILE_BYTES = 1 << 18
MOST_VALUES = 50_000
"""Counted after each alias is replaced."""
DEEPEST = 50


def read_document(file: Path) -> dict[str, Any]:
    """Read a file. It is JSON if it begins with a brace. Raises `ConfigError`."""
    try:
        document = _parse(read_bounded(file, LARGEST_FILE_BYTES, "name a configuration of zotpy").decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{file}: the settings are nested too deeply: use at most 50 levels"]) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{file}: {_place_of(error)}"]) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{file}: {' '.join(str(error).split())}"]) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError([f"{file}: write settings as names and values"])
    return document


def _place_of(error: yaml.MarkedYAMLError) -> str:
    """Say where YAML cannot be read, and why, in one line."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    reason = ": ".join(each for each in (error.context, error.problem) if each)
    return f"{where}this is not YAML: {' '.join(reason.split())}"


def _parse(text: str) -> object:
    if text.lstrip().startswith("{"):  # YAML would refuse tabs
        document = json.loads(text, object_pairs_hook=unique)
        _check_depth(document)
        return document
    return yaml.load(text, _UniqueLoader)  # noqa: S506 - it is a SafeLoader


def _check_depth(value: object, depth: int = 0) -> None:
    """Raise `RecursionError` if values are nested deeper than any setting."""
    if depth > DEEPEST:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def read_variable(text: str, what: str) -> object:
    """Read the JSON that a variable of the environment has in place of `what`. Raises `ValueError`."""
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"write {what}, as JSON"
        raise ValueError(msg) from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a section of JSON. Raises `ValueError` if a name occurs twice: JSON would keep the last of them."""
    _refuse_twins([name for name, _ in pairs])
    return dict(pairs)


def _refuse_twins(names: Sequence[str]) -> None:
    twins = sorted(name for name, count in Counter(names).items() if count > 1)
    if twins:
        msg = f"{twins[0]!r} occurs twice in one section: remove one of them"
        raise ValueError(msg)


class _UniqueLoader(yaml.SafeLoader):
    """PyYAML's loader alone would silently keep the last of several values, and follow aliases without a bound."""

    def get_single_node(self) -> yaml.Node | None:
        """Return the tree of the only document, before values are made of it."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _count(node, {}, 0)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        _refuse_twins([str(name.value) for name, _ in node.value])
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, counted: dict[int, int], depth: int) -> int:
    """Return how many values a node holds, with its aliases replaced. It looks at each node once.

    Raises `ValueError` if there are too many, and `RecursionError` if they are nested too deeply, or if a node is
    inside itself.
    """
    if depth > DEEPEST:
        raise RecursionError
    if id(node) not in counted:
        inner = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        below = inner if isinstance(node, yaml.CollectionNode) else ()
        counted[id(node)] = 1 + sum(_count(each, counted, depth + 1) for each in below)
        if counted[id(node)] > MOST_VALUES:
            msg = f"the file has more than {MOST_VALUES} values, with each alias replaced by its content: use fewer"
            raise ValueError(msg)
    return counted[id(node)]
