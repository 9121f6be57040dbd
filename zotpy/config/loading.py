"""From a file, the environment and the command line to `Settings`; all problems are reported at once, with their paths.

Names are compared without regard to case, as zot does. The environment overrides the file, the command line both.
"""

import difflib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zotpy.config.building import build, contradictions
from zotpy.config.errors import ConfigError, NestedProblems
from zotpy.config.files import read_document
from zotpy.config.schema import LEAVES, REFUSED, WITHOUT_EFFECT, sections, variable_of
from zotpy.config.settings import Settings

_SECTIONS = sections()
_CANONICAL = {path.lower(): path for path in (*_SECTIONS, *WITHOUT_EFFECT, *REFUSED, *LEAVES)}
_LIKENESS = 0.85
"""So like one of ours must another variable be to be pointed out: the prefix may be shared by chance."""


@dataclass(slots=True)
class _Given:
    """What was given so far, by section and field, and what is wrong with it."""

    values: defaultdict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)
    """Paths whose values could not be read."""

    def take(self, path: str, value: object, name: str) -> None:
        """Read the value of one setting; `name` is how the person who wrote it knows it."""
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


def load_settings(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read a file, if any, variables such as ZOTPY_HTTP_PORT, and `overrides` by path. Raises `ConfigError`."""
    given = _Given()
    if file is not None:
        _take_section(given, read_document(file), "")
    _take_environment(given, environ)
    for path, value in (overrides or {}).items():
        given.take(path, value, f"{path} on the command line")
    given.problems.extend(contradictions(given.values, given.faulty))
    if given.problems:
        raise ConfigError(given.problems)
    return build(given.values, tuple(given.warnings), environ)


def _take_section(given: _Given, section: dict[str, Any], above: str) -> None:
    seen = set[str]()
    for name, value in section.items():
        path = _CANONICAL.get(f"{above}{name}".lower(), f"{above}{name}")
        if path in seen:
            given.problems.append(f"{path}: stands twice, in upper and lower case")
        seen.add(path)
        _take_entry(given, path, value)


def _take_entry(given: _Given, path: str, value: object) -> None:
    if path in WITHOUT_EFFECT:
        given.warnings.append(f"{path} has no effect: {WITHOUT_EFFECT[path]}")
    elif path in REFUSED:
        if _asks(value):
            given.problems.append(f"{path}: {REFUSED[path]}")
    elif path not in LEAVES and path not in _SECTIONS:
        given.problems.append(f"{path}: there is no such setting{_suggestion(path)}")
    elif value is None:
        pass  # as if it were not there
    elif path in LEAVES:
        given.take(path, value, path)
    elif isinstance(value, dict):
        _take_section(given, value, f"{path}.")
    else:
        given.problems.append(f"{path}: write settings as names and values")


def _take_environment(given: _Given, environ: Mapping[str, str]) -> None:
    """Take every variable of ours that is not empty, and point out those that look misspelt."""
    paths = {variable_of(path): path for path in LEAVES}
    for variable, path in paths.items():
        if environ.get(variable):
            given.take(path, environ[variable], variable)
    for variable in sorted(environ):
        if variable.startswith("ZOTPY_") and variable not in paths:
            near = difflib.get_close_matches(variable, paths, 1, _LIKENESS)
            given.warnings.extend(f"{variable} has no effect: did you mean {other}?" for other in near)


def _asks(value: object) -> bool:
    """Whether a protection is wanted at all: zot's files name some only to leave them off."""
    if isinstance(value, dict):
        return any(_asks(item) for item in value.values())
    return bool(value) and str(value).lower() != "false"


def _suggestion(path: str) -> str:
    """Find what was meant: a name much like it in the same section, else the same name in another."""
    above, _, name = path.lower().rpartition(".")
    beside = {known.rpartition(".")[2]: known for known in _CANONICAL if known.rpartition(".")[0] == above}
    anywhere = {known.rpartition(".")[2]: known for known in _CANONICAL}
    for names in (beside, anywhere):
        if near := difflib.get_close_matches(name, names, 1):
            return f"; did you mean {_CANONICAL[names[near[0]]]}?"
    return ""
