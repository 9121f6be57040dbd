"""Expressions in CEL within the value of one setting: what is wrong with one is said at the start, with its path."""

from collections.abc import Callable, Mapping

from zotpy.cel.expressions import MISSING, Expression
from zotpy.config.sections import Sections
from zotpy.settings import ConditionSettings

MOST_CONDITIONS = 32
"""In one list."""
LONGEST_MESSAGE = 512


class Expressions(Sections):
    """Reads sections that have expressions."""

    def _expression(self, value: object, path: str, read: Callable[[str], Expression]) -> Expression | None:
        """Compile an expression; `None`: it cannot be used, as was noted."""
        if not isinstance(value, str) or not value.strip():
            self._note(path, "write an expression in CEL, in quotes")
            return None
        try:
            return read(value)
        except ModuleNotFoundError as error:
            self._note(path, MISSING.format(error.name))
        except ValueError as error:
            self._note(path, str(error))
        return None

    def _conditions(
        self, value: object, path: str, read: Callable[[str], Expression], *, needs_message: bool
    ) -> tuple[ConditionSettings, ...]:
        """Read a list of expressions with messages."""
        listed, found = self._list(value, path), []
        if len(listed) > MOST_CONDITIONS:
            self._note(path, f"has {len(listed)} expressions: write at most {MOST_CONDITIONS}, joined by &&")
            return ()
        for index, each in enumerate(listed):
            where = f"{path}[{index}]"
            parts = self._section(each, where, ("expression", "message"))
            if not isinstance(each, Mapping):
                continue
            message = parts.get("message", "")
            if not isinstance(message, str) or len(message) > LONGEST_MESSAGE or (needs_message and not message):
                self._note(f"{where}.message", f"write the message for callers, at most {LONGEST_MESSAGE} characters")
                continue
            if self._expression(parts.get("expression"), f"{where}.expression", read) is not None:
                found.append(ConditionSettings(str(parts["expression"]), message))
        return tuple(found)
