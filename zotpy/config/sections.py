"""Sections, lists and texts within the value of one setting, with the path of each mistake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zotpy.config.suggestions import closest


@dataclass(slots=True)
class Sections:
    """Reads parts of a value, and notes each mistake with its path."""

    problems: list[tuple[str, str]] = field(default_factory=list)

    def _words(self, value: object, path: str) -> frozenset[str]:
        listed = self._list(value, path)
        if not all(isinstance(word, str) and word for word in listed):
            self._note(path, "write a list of texts, in quotes")
            return frozenset()
        return frozenset(listed)

    def _list(self, value: object, path: str) -> list[Any]:
        if value is None or isinstance(value, list):
            return value or []
        self._note(path, "write a list")
        return []

    def _names(self, value: object, path: str) -> Mapping[str, object]:
        """Read a section whose names are the user's own."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._note(path, "write settings as names and values")
            return {}
        if not all(isinstance(name, str) for name in value):
            self._note(path, "write each name in quotes")
            return {}
        return value

    def _section(self, value: object, path: str, known: Sequence[str]) -> dict[str, Any]:
        """Read a section whose names zot has given, in whatever case they are written. `null` is left out."""
        canonical = {name.lower(): name for name in known}
        found: dict[str, Any] = {}
        for given, item in self._names(value, path).items():
            name = canonical.get(given.lower())
            if name is None:
                near = closest(given, canonical)
                meant = "" if near is None else f"; did you mean {canonical[near]}?"
                if not path and not given.isalpha():
                    meant = ": patterns stand below repositories"
                self._note(f"{path}.{given}", f"there is no such setting{meant}")
            elif name in found:
                self._note(f"{path}.{name}", "occurs twice, in upper and lower case: remove one of them")
            else:
                found[name] = item
        return {name: item for name, item in found.items() if item is not None}

    def _note(self, path: str, problem: str) -> None:
        self.problems.append((path, problem))
