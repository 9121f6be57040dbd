"""`WWW-Authenticate`: how an upstream asks for a login (RFC 9110, section 11.6.1; distribution's token protocol)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MOST_BYTES = 8 * 1024
"""A longer header is not read."""
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a token of HTTP's grammar
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|\Z)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|,|\Z)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in."""

    scheme: str
    """In lower case."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Their names in lower case."""


def read_challenges(lines: Sequence[str]) -> Sequence[Challenge]:
    """Read the header's lines, each of which may have several challenges.

    Challenges that cannot be read are left out.
    """
    return [challenge for line in lines if len(line) <= MOST_BYTES for challenge in _read_line(line)]


def _read_line(line: str) -> Iterator[Challenge]:
    position = 0
    while (scheme := _SCHEME.match(line, position)) is not None and scheme.end() > position:
        position = scheme.end()
        parameters = {}
        while (found := _PARAMETER.match(line, position)) is not None:
            name, quoted, plain = found.groups()
            parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            position = found.end()
        yield Challenge(scheme[1].lower(), parameters)
