"""Whether some repository name matches two patterns: then a rule that prefers one to the other must say which.

Each pattern becomes an automaton (Thompson's construction). Both are walked at once, over all names that bring both of
them along. A name matches both patterns exactly if that walk reaches both ends.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from zotpy.core.glob_steps import ABOVE, ANYTHING, BELOW, BELOW_AND_SLASH, CLOSE, OPEN, OR, RUN
from zotpy.core.globs import pieces

_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_SLASH = frozenset("/")
_SIGNS = _ALNUM | _SLASH | frozenset("._-")
"""What names of repositories consist of."""
_IN_SEGMENT = _SIGNS - _SLASH
_AT_BEGINNING, _AFTER_SIGN, _AFTER_LETTER = range(3)
"""Where in a segment of a name a walk is. A name ends only after a letter or a digit."""
_KINDS = (_SLASH, _IN_SEGMENT - _ALNUM, _ALNUM)
"""The characters that lead there."""
_MAY_FOLLOW = (_ALNUM, _IN_SEGMENT, _SIGNS)
"""The characters that may follow there. `a..b` is no name, but is allowed for here."""
_SPECIAL = re.compile(r"[*?\[{\\]")
_UP_TO_SPECIAL = re.compile(r".*(?:[*?\]}]|\\.)", re.DOTALL)
MOST_REMEMBERED = 1024
"""Automata that are kept: as each pattern is compared with many others."""


def can_match_same(one: str, other: str) -> bool:
    """Say whether some name matches both patterns. Both must be well-formed."""
    beginnings = _literal_beginning(one), _literal_beginning(other)
    if not beginnings[0].startswith(beginnings[1]) and not beginnings[1].startswith(beginnings[0]):
        return False  # most pairs need no more
    ends = _literal_end(one), _literal_end(other)
    if not ends[0].endswith(ends[1]) and not ends[1].endswith(ends[0]):
        return False
    return _walk(_automaton(one), _automaton(other))


def _literal_beginning(pattern: str) -> str:
    """Return what every match begins with. `/**` may also match nothing, so its slash is not part of it."""
    special = _SPECIAL.search(pattern)
    return pattern if special is None else pattern[: special.start()].removesuffix("/")


def _literal_end(pattern: str) -> str:
    """Return what every match ends with. `**/` may also match nothing, so its slash is not part of it."""
    return _UP_TO_SPECIAL.sub("", pattern).removeprefix("/")


@dataclass(slots=True)
class _Automaton:
    """States are numbers; 0 is the first one."""

    end: int = 0
    silent: list[list[int]] = field(default_factory=lambda: [[]])
    """By state: the states that are reached without a character."""
    moves: list[list[tuple[frozenset[str], int]]] = field(default_factory=lambda: [[]])
    """By state: the characters that lead to another one."""

    def state(self) -> int:
        """Add a state."""
        self.silent.append([])
        self.moves.append([])
        return len(self.silent) - 1

    def loop(self, before: int, signs: frozenset[str]) -> int:
        """Add a state that any number of these characters leads to. It is new, so that no other way may loop."""
        added = self.state()
        self.silent[before].append(added)
        self.moves[added].append((signs, added))
        return added

    def step(self, before: int, signs: frozenset[str]) -> int:
        """Add a state that one of these characters leads to."""
        added = self.state()
        self.moves[before].append((signs, added))
        return added

    def optional(self, before: int, after: int) -> int:
        """Let what lies between two states be passed over."""
        self.silent[before].append(after)
        return after


@lru_cache(MOST_REMEMBERED)
def _automaton(pattern: str) -> _Automaton:
    made, at, braces = _Automaton(), 0, list[tuple[int, int]]()
    for piece in pieces(pattern):
        if piece == OPEN:
            braces.append((at, made.state()))
        elif piece in {OR, CLOSE}:
            begin, end = braces[-1] if piece == OR else braces.pop()
            made.silent[at].append(end)
            at = begin if piece == OR else end
        elif piece in {RUN, ANYTHING}:
            at = made.loop(at, _IN_SEGMENT if piece == RUN else _SIGNS)
        elif piece in {BELOW, BELOW_AND_SLASH}:
            at = made.optional(at, made.loop(made.step(at, _SLASH), _SIGNS))
        elif piece == ABOVE:
            at = made.optional(at, made.step(made.loop(at, _SIGNS), _SLASH))
        else:
            at = made.step(at, frozenset(sign for sign in _SIGNS if re.fullmatch(piece, sign)))
    made.end = at
    return made


def _walk(one: _Automaton, other: _Automaton) -> bool:
    """Say whether the same name reaches both ends."""
    seen, waiting = set[tuple[int, int, int]](), [(0, 0, _AT_BEGINNING)]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        left, right, kind = place
        if kind == _AFTER_LETTER and (left, right) == (one.end, other.end):
            return True
        waiting += [(next_left, right, kind) for next_left in one.silent[left]]
        waiting += [(left, next_right, kind) for next_right in other.silent[right]]
        for signs, next_left in one.moves[left]:
            for others, next_right in other.moves[right]:
                both = signs & others & _MAY_FOLLOW[kind]
                waiting += [(next_left, next_right, after) for after, those in enumerate(_KINDS) if both & those]
    return False
