"""What an upstream answers with."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, Self

from zotpy.core.digests import Digest

_SAY_NOTHING = {"", "application/octet-stream", "application/json", "text/plain", "text/html"}
"""Media types that servers send if they do not know manifests. The manifest's own field counts instead."""


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What HEAD says of a manifest."""

    digest: Digest | None
    """`None`: this upstream does not say it."""
    media_type: str
    """Empty if the upstream does not say it."""
    length: int | None
    """In bytes; `None`: this upstream does not say it."""


@dataclass(frozen=True, slots=True)
class ManifestBody:
    """A manifest, with exactly the bytes that were pushed."""

    content: bytes
    media_type: str
    """The Content-Type without parameters; empty if the upstream sends none."""
    digest: Digest
    """That of the content."""

    @property
    def told_type(self) -> str | None:
        """The media type that the upstream names; `None`: it names none, or one that says nothing."""
        return None if self.media_type.lower() in _SAY_NOTHING else self.media_type


class BlobStream(Protocol):
    """A blob that is being read."""

    @property
    def length(self) -> int | None:
        """The length of the whole blob in bytes; `None`: the upstream does not say it."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Iterate, once, over the bytes from the start that was asked for to the end.

        If the upstream breaks off, the iteration continues at the byte that it has reached, as often as the settings
        allow. Raises `UpstreamUnavailable`, `UpstreamBroken`.
        """
        ...


class PieceIterator(AsyncIterator[bytes]):
    """A `BlobStream` that iterates over its own pieces."""

    def __init__(self, length: int | None) -> None:
        """`length` is that of the whole blob in bytes; `None`: it is not known yet."""
        self.length = length

    def pieces(self) -> Self:
        """Return the iterator."""
        return self
