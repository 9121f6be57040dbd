"""From a file, the environment and the command line to `Settings`. It reports all problems at once, with their paths.

It ignores the case of names, as zot does. The environment overrides the file, and the command line overrides both.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zotpy.config.building import build, contradictions
from zotpy.config.config_file import read_document
from zotpy.config.errors import ConfigError, NestedProblems
from zotpy.config.foreign import JUDGED, asks, lowered
from zotpy.config.schema import LEAVES, LOCKS, variable_of
from zotpy.config.suggestions import closest
from zotpy.config.zot_only import REFUSED, WITHOUT_EFFECT
from zotpy.settings import Settings, Source

_SETTINGS = (*WITHOUT_EFFECT, *REFUSED, *LEAVES)
_SECTIONS = frozenset(path[:place] for path in _SETTINGS for place, sign in enumerate(path) if sign == ".")
"""Every path above a setting."""
_CANONICAL = {path.lower(): path for path in (*_SECTIONS, *_SETTINGS)}
"""The names as they are written, by those in lower case."""
_COMMON = frozenset({"enable", "name", "path", "timeout"})
"""Words that do not tell in which section they belong."""


@dataclass(slots=True)
class _Given:
    """What was given so far, by section and field, and what is wrong with it."""

    values: defaultdict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)
    """Paths whose values could not be read."""
    emptied: dict[str, str] = field(default_factory=dict)
    """Locks that were given without a value, by path, each with its name as the user wrote it."""
    storage: Mapping[str, Any] = field(default_factory=dict)
    """The file's section of that name, its names in lower case."""

    def take(self, path: str, value: object, name: str) -> None:
        """Read the value of one setting. `name` is its name as the user wrote it."""
        leaf = LEAVES[path]
        try:
            self.values[leaf.section][leaf.field] = leaf.read(value)
            self.faulty.discard(path)
        except NestedProblems as error:
            self.problems += [f"{name}{below}: {problem}" for below, problem in error.problems]
            self.faulty.add(path)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            self.faulty.add(path)

    def refuse_open_locks(self) -> None:
        """Note each lock that was given without a value and has none in the end."""
        for path, name in self.emptied.items():
            leaf = LEAVES[path]
            if self.values[leaf.section].get(leaf.field) is None and path not in self.faulty:
                self.problems.append(f"{name}: it is empty, so {LOCKS[path]}")
                self.faulty.add(path)


def load_settings(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read a file, if any, variables such as ZOTPY_HTTP_PORT, and `overrides` by path. Raises `ConfigError`."""
    given = _Given()
    if file is not None:
        document = read_document(file)
        given.storage = lowered(document).get("storage") or {}
        _take_section(given, document, "")
    _take_environment(given, environ)
    for path, value in (overrides or {}).items():
        given.take(path, value, f"{path} on the command line")
    given.refuse_open_locks()
    given.problems.extend(contradictions(given.values, given.faulty))
    if given.problems:
        raise ConfigError(given.problems)
    return build(given.values, tuple(given.warnings), environ, Source(file, dict(overrides or {})))


def _take_section(given: _Given, section: dict[str, Any], above: str) -> None:
    seen = set[str]()
    for name, value in section.items():
        path = _CANONICAL.get(f"{above}{name}".lower(), f"{above}{name}")
        if path in seen:
            given.problems.append(f"{path}: occurs twice, in upper and lower case: remove one of them")
        seen.add(path)
        _take_entry(given, path, value)


def _take_entry(given: _Given, path: str, value: object) -> None:
    if path == "http.auth" and not value:  # a template may have left its content out: it is said to be open
        given.values.setdefault("auth", {})
    if path in WITHOUT_EFFECT:
        _take_foreign(given, path, value)
    elif path in REFUSED:
        if asks(value):
            given.problems.append(f"{path}: {REFUSED[path]}")
    elif path not in LEAVES and path not in _SECTIONS:
        given.problems.append(f"{path}: there is no such setting{_suggestion(path)}")
    elif (lock := _left_open(path, value)) is not None:
        given.emptied[lock] = path
    elif value is None:
        pass  # as if it did not exist
    elif path in LEAVES:
        given.take(path, value, path)
    elif isinstance(value, dict):
        _take_section(given, value, f"{path}.")
    else:
        given.problems.append(f"{path}: write settings as names and values{_example(path)}")


def _left_open(path: str, value: object) -> str | None:
    """Return which lock is given here without a value: itself, or a section that means nothing without it."""
    if path in LOCKS and value in (None, ""):
        return path
    locks = [lock for lock in (f"{path}.path", f"{path}.address") if lock in LOCKS]
    return locks[0] if locks and value in (None, "", {}) else None


def _take_foreign(given: _Given, path: str, value: object) -> None:
    """Say that a setting of zot has no effect, or refuse it if its value must not be ignored."""
    try:
        if path in JUDGED:
            JUDGED[path](lowered(value), given.storage)
    except NestedProblems as error:
        given.problems += [f"{path}{below}: {problem}" for below, problem in error.problems]
    except ValueError as error:
        given.problems.append(f"{path}: {error}")
    else:
        given.warnings.append(f"{path} has no effect: {WITHOUT_EFFECT[path]}")


def _take_environment(given: _Given, environ: Mapping[str, str]) -> None:
    """Read every variable of ours that is not empty, and point out those that look misspelt."""
    paths = {variable_of(path): path for path in LEAVES}
    names = {variable.removeprefix("ZOTPY_").lower(): variable for variable in paths}
    for variable, path in paths.items():
        if environ.get(variable):
            given.take(path, environ[variable], variable)
        elif path in LOCKS and variable in environ:
            given.emptied[path] = variable
    for variable in sorted(environ):
        if variable.startswith("ZOTPY_") and variable not in paths:
            near = closest(variable.removeprefix("ZOTPY_"), names)
            if near is not None:
                given.warnings.append(f"{variable} has no effect: did you mean {names[near]}?")


def _example(path: str) -> str:
    """Name a setting of a section."""
    below = next((known for known in LEAVES if known.startswith(f"{path}.")), None)
    return "" if below is None else f", such as {below.removeprefix(f'{path}.')}"


def _suggestion(path: str) -> str:
    """Find what was meant: a misspelt name of the same section, otherwise the same name in another."""
    above, _, name = path.lower().rpartition(".")
    beside = {known.rpartition(".")[2]: known for known in _CANONICAL if known.rpartition(".")[0] == above}
    if (near := closest(name, beside)) is not None:
        return f"; did you mean {_CANONICAL[beside[near]]}?"
    leaves = [] if name in _COMMON else [path.lower() for path in LEAVES]
    elsewhere = [known for known in leaves if known.rpartition(".")[2] == name]
    return f"; did you mean {_CANONICAL[elsewhere[0]]}?" if len(elsewhere) == 1 else ""
