"""Conditions of requests: If-Match and If-None-Match with `*` or any number of entity tags (RFC 9110, section 13.1).

The entity tag of a manifest or a blob is its digest in quotes, always a strong one; that of a tag is the digest of the
manifest that it names.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid

ANY = "*"
_TAG = re.compile(r'[ \t]*+(?:(?P<weak>W/)?"(?P<quoted>[^"]*+)"|(?P<bare>[^\s",]*+))[ \t]*+(?:,|$)')


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The tags of one header. `*` among them stands for every existing representation."""

    strong: frozenset[str]
    weak: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, header: str) -> Self:
        """Read a header; several are joined by commas. A digest may stand without quotes. Raises `DigestInvalid`."""
        strong, weak, position = set[str](), set[str](), 0
        while position < len(header):
            match = _TAG.match(header, position)
            if match is None:
                raise _malformed(header)
            if match["quoted"] is not None:
                (weak if match["weak"] else strong).add(match["quoted"])
            elif match["bare"]:  # otherwise the element of the list is empty, which means nothing (section 5.6.1.2)
                strong.add(_bare(match["bare"], header))
            position = match.end()
        return cls(frozenset(strong), frozenset(weak))

    def match_strongly(self, digest: Digest | None) -> bool:
        """Compare as If-Match does with what exists, or with nothing: a weak tag matches no other (section 8.8.3.2)."""
        return digest is not None and (ANY in self.strong or str(digest) in self.strong)

    def match_weakly(self, digest: Digest | None) -> bool:
        """Compare as If-None-Match does: whether a tag is weak does not matter."""
        return self.match_strongly(digest) or str(digest) in self.weak


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a tag, or of content, for a request to be done."""

    match: EntityTags | None = None
    """If-Match: one of these must exist."""
    none_match: EntityTags | None = None
    """If-None-Match: none of these may exist."""
    only: Digest | None = None
    """Of an immutable tag: nothing else may exist. No header says so."""

    @classmethod
    def absent(cls) -> Self:
        """Make `If-None-Match: *`: nothing may exist."""
        return cls(none_match=EntityTags(frozenset({ANY})))

    @classmethod
    def names(cls, digest: Digest) -> Self:
        """Make `If-Match: "<digest>"`: this must exist."""
        return cls(match=EntityTags(frozenset({str(digest)})))

    def and_absent(self) -> "Condition":
        """Return a condition that holds if this one does and nothing exists."""
        others = EntityTags(frozenset()) if self.none_match is None else self.none_match
        return replace(self, none_match=EntityTags(others.strong | {ANY}, others.weak))

    def and_present(self) -> "Condition":
        """Return a condition that holds if this one does and something exists."""
        return replace(self, match=EntityTags(frozenset({ANY}))) if self.match is None else self

    def and_only(self, digest: Digest) -> "Condition":
        """Return a condition that holds if this one does and no other digest exists."""
        return replace(self, only=digest)

    def holds(self, digest: Digest | None) -> bool:
        """Say whether the condition holds for what exists, or for nothing."""
        if self.match is not None and not self.match.match_strongly(digest):
            return False
        if self.none_match is not None and self.none_match.match_weakly(digest):
            return False
        return not self.moves(digest)

    def moves(self, digest: Digest | None) -> bool:
        """Say whether an immutable tag would have to name another manifest than this one, which it names."""
        return self.only is not None and digest is not None and digest != self.only

    @property
    def may_create(self) -> bool:
        """Whether the condition can hold if nothing exists."""
        return self.match is None

    @property
    def may_replace(self) -> bool:
        """Whether the condition can hold for this."""
        return self.none_match is None or ANY not in self.none_match.strong


def _bare(text: str, header: str) -> str:
    if text == ANY:
        return ANY
    try:
        return str(Digest.parse(text))
    except DigestInvalid:
        raise _malformed(header) from None


def _malformed(header: str) -> DigestInvalid:
    return DigestInvalid(f'{header[:300]!r} is no condition: write * or entity tags such as "sha256:<digest>"')
