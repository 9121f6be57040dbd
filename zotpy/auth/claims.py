"""What a login says of a caller beside the name and the groups: the claims of a token that an issuer has signed.

Our own tokens carry only the claims that the rules read, so that they stay short. A claim that was left out is unknown,
which is something else than missing: an expression that reads it fails, instead of taking it for missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from zotpy.cel.expressions import Failed
from zotpy.cel.sizes import MOST_LEVELS

Names = frozenset[str] | None
"""Names of claims; `None`: all."""


def joined(names: Iterable[Names]) -> Names:
    """Return all of these names."""
    every = frozenset[str]()
    for each in names:
        if each is None:
            return None
        every |= each
    return every


@dataclass(frozen=True, slots=True)
class Claims:
    """Some or all claims of a caller."""

    values: Mapping[str, Any] = field(default_factory=dict)
    known: Names = None
    """Which claims are here if the caller has them."""

    def kept(self, names: Names) -> "Claims":
        """Return these alone, as far as they are known."""
        if names is None:
            return self
        known = names if self.known is None else names & self.known
        return Claims({name: self.values[name] for name in sorted(known) if name in self.values}, known)

    def read_by(self, names: Names) -> dict[str, Any]:
        """Return the claims that an expression reads, with numbers as zot has them. Raises `Failed`."""
        if self.known is not None and (names is None or not names <= self.known):
            unknown = "any" if names is None else ", ".join(sorted(names - self.known))
            msg = f"it reads claims that this login does not provide: {unknown}"
            raise Failed(msg)
        read = self.values if names is None else {name: self.values[name] for name in names if name in self.values}
        return {name: _with_doubles(value, MOST_LEVELS) for name, value in read.items()}

    def written(self) -> dict[str, object]:
        """Write them for a token."""
        return {"values": dict(self.values), "known": None if self.known is None else sorted(self.known)}

    @classmethod
    def parse(cls, document: object) -> Self:
        """Read what `written` wrote. Anything else is read as no claims, of which nothing is known."""
        if not isinstance(document, Mapping) or not isinstance(document.get("values"), Mapping):
            return cls({}, frozenset())
        known = document.get("known", ())
        return cls(document["values"], None if known is None else frozenset(map(str, known)))


NO_CLAIMS = Claims()
"""Those of a login that has none."""
UNKNOWN = Claims({}, frozenset())


def _with_doubles(value: Any, levels: int) -> Any:
    """Return a value with all its numbers as doubles, which is what JSON has to zot."""
    if levels < 0:
        msg = f"the claims have more than {MOST_LEVELS} levels"
        raise Failed(msg)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError as error:
            msg = "a number in the claims is too large"
            raise Failed(msg) from error
    if isinstance(value, dict):
        return {name: _with_doubles(each, levels - 1) for name, each in value.items()}
    return [_with_doubles(each, levels - 1) for each in value] if isinstance(value, list) else value
