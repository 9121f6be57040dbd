"""Repository names and tags: values that exist only if well-formed (OCI distribution spec, *Pulling manifests*)."""

import re
from dataclasses import dataclass
from typing import Self

from zotpy.core.digests import Digest
from zotpy.core.errors import NameInvalid, TagInvalid
from zotpy.core.quick import quickly_made

MAX_NAME_LENGTH = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)


@quickly_made
@dataclass(frozen=True, slots=True, order=True)
class RepositoryName:
    """The `<name>` of every endpoint, for example `team/app`; at most 255 characters."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check `text` against the spec's grammar; raises `NameInvalid`."""
        if len(text) > MAX_NAME_LENGTH or not _NAME.fullmatch(text):
            msg = (
                f"{text[:300]!r} is not a repository name: use lower-case letters and digits, separated by single "
                f"'.', '_', '__', '-' or '/', {MAX_NAME_LENGTH} characters at most"
            )
            raise NameInvalid(msg, detail={"name": text[:300]})
        return cls(text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A `<reference>` that is not a digest; 1 to 128 characters."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check `text` against the spec's grammar; raises `TagInvalid`."""
        if not _TAG.fullmatch(text):
            msg = (
                f"{text[:200]!r} is not a tag: use letters, digits, '_', '.' and '-', not beginning with '.' or '-', "
                "128 characters at most"
            )
            raise TagInvalid(msg, detail={"tag": text[:200]})
        return cls(text)

    def __str__(self) -> str:
        return self.text


Reference = Tag | Digest


def parse_reference(text: str) -> Reference:
    """Read the `<reference>` of a manifest endpoint: a digest if it has a colon, otherwise a tag.

    Raises `DigestInvalid` or `TagInvalid`.
    """
    if ":" in text:
        return Digest.parse(text)
    return Tag.parse(text)
