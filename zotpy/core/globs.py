"""Patterns of repository names as zot reads them (doublestar's), made into regular expressions.

`*` and `?` stay within one segment of a name. `**` as a segment of its own is any number of segments, or none. `[a-c]`
and `[!a-c]` are one character, and `{a,b}` is either. A backslash takes the next character literally.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from zotpy.core.glob_steps import ABOVE, ANYTHING, BELOW, BELOW_AND_SLASH, CLOSE, OPEN, OR, RUN, stepwise

MOST_TEXTS = 1000
"""For how many texts the braces of a pattern may stand: `{a,a}` 30 times would hold a replica for minutes."""
SIGN = re.compile(r"[*?\[{\\]")
"""A character that means more than itself. A text without any is a pattern for that text alone."""
MOST_REMEMBERED = 1024
"""How many patterns `matches` need not read again."""
_MANY_SEGMENTS = {ANYTHING, BELOW, BELOW_AND_SLASH, ABOVE}
_ENDS = {"", "/", ",", "}"}
"""What may be on either side of `**`, and the end of the pattern."""


class PatternError(ValueError):
    """The text is not a pattern."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r} is no pattern: {why}")


def read_glob(value: object, example: str = "prod/*") -> re.Pattern[str]:
    """Read a pattern that names must match as a whole. Raises `ValueError`."""
    if not isinstance(value, str) or not value:
        msg = f"write a pattern such as {example}, in quotes"
        raise ValueError(msg)
    if (count := texts(value)) > MOST_TEXTS:
        raise PatternError(value, f"its braces stand for {count:.2g} texts, and at most {MOST_TEXTS} can be compared")
    found = list(pieces(value))
    try:
        expression = stepwise(found) if rivalry(value) > 1 else "".join(found)
    except ValueError as error:
        raise PatternError(value, str(error)) from error
    return re.compile(rf"\A(?:{expression})\Z", re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Say whether a name matches a pattern as a whole. Raises `ValueError`."""
    return _remembered(pattern).match(name) is not None


@lru_cache(MOST_REMEMBERED)
def _remembered(pattern: str) -> re.Pattern[str]:
    return read_glob(pattern)


def texts(text: str) -> int:
    """Return for how many texts the braces of a pattern stand: `{a,b}{c,d}` for four. Raises `PatternError`.

    A name may be compared with each of them, so the number must be bounded: it doubles with each pair of braces.
    """
    product, outer, sums = 1, list[int](), list[int]()
    for piece in pieces(text):
        if piece == OPEN:
            outer.append(product)
            sums.append(0)
            product = 1
        elif piece == OR:
            sums[-1], product = sums[-1] + product, 1
        elif piece == CLOSE:
            product = outer.pop() * (sums.pop() + product)
    return product


def pieces(text: str) -> Iterator[str]:
    """Translate a pattern piece by piece. Raises `PatternError`.

    A piece is one of those that `zotpy.core.glob_steps` names, or the regular expression of one character.
    """
    translation = _Translation(text)
    while translation.at < len(text):
        yield translation.next()
    if translation.depth:
        raise PatternError(text, "a brace is not closed")


def rivalry(text: str) -> int:
    """Return how many stars of a pattern compete for the same characters. Raises `PatternError`.

    A plain regular expression takes time that grows with this power of the length of a name: `*` competes with others
    of its segment, and `**` with every other one.
    """
    rivals = runs = 0
    for piece in (*pieces(text), "/"):
        if piece == RUN:
            runs += 1
        elif piece in _MANY_SEGMENTS or piece == "/":
            rivals += (piece in _MANY_SEGMENTS) + (runs if runs > 1 else 0)
            runs = 0
    return rivals


class _Translation:
    """One pattern that is being read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        """How many braces are open."""

    def next(self) -> str:
        """Return the next piece."""
        rest = self.text[self.at :]
        if rest.startswith("/**") and self._is_end(self.at + 3):
            self.at += 3
            return BELOW if self._after(0) != "/" else BELOW_AND_SLASH
        if rest.startswith("**") and self._before() in _ENDS | {"{"} and self._is_end(self.at + 2):
            self.at += 2
            if self._after(0) != "/":
                return ANYTHING
            self.at += 1
            return ABOVE
        return self._within_segment()

    def _within_segment(self) -> str:
        sign = self._after(0)
        self.at += 1
        if sign in {"*", "?"}:
            return RUN if sign == "*" else "[^/]"
        if sign == "[":
            return self._class()
        return self._escaped() if sign == "\\" else self._brace(sign)

    def _brace(self, sign: str) -> str:
        """Return what one of `{`, `,` and `}` means here, or any other character itself."""
        if sign == "{":
            self.depth += 1
            return OPEN
        if sign == "}" and not self.depth:
            raise PatternError(self.text, "a brace is closed that was not opened")
        if sign == "}":
            self.depth -= 1
            return CLOSE
        return OR if sign == "," and self.depth else re.escape(sign)

    def _class(self) -> str:
        inner, negated = "", self._after(0) in {"!", "^"}
        self.at += negated
        while self._after(0) != "]":
            sign = self._after(0)
            if not sign:
                raise PatternError(self.text, "a bracket is not closed")
            self.at += 1
            if sign == "-" and inner and self._after(0) not in {"]", ""}:
                inner += "-"
            else:
                inner += self._escaped() if sign == "\\" else re.escape(sign)
        self.at += 1
        if not inner:
            raise PatternError(self.text, "brackets are empty")
        expression = f"[^/{inner}]" if negated else f"(?!/)[{inner}]"
        try:
            re.compile(expression)
        except re.error as error:
            raise PatternError(self.text, str(error)) from error
        return expression

    def _escaped(self) -> str:
        if not self._after(0):
            raise PatternError(self.text, "nothing follows the backslash")
        self.at += 1
        return re.escape(self.text[self.at - 1])

    def _before(self) -> str:
        return self.text[self.at - 1] if self.at else ""

    def _after(self, distance: int) -> str:
        return self.text[self.at + distance : self.at + distance + 1]

    def _is_end(self, position: int) -> bool:
        return self.text[position : position + 1] in _ENDS
