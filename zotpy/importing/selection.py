"""Which repositories and tags of a source are imported, and under which names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from zotpy.core.digests import Digest
from zotpy.core.globs import SIGN, matches
from zotpy.core.names import RepositoryName
from zotpy.upstream.registry import fallback_tag


class Choice(Protocol):
    """What is copied. Repositories have the names of the source."""

    @property
    def named(self) -> Sequence[str]:
        """Repositories that are copied without a look at the source's list."""
        ...

    @property
    def needs_list(self) -> bool:
        """Whether the source must list its repositories."""
        ...

    @property
    def referrers(self) -> bool:
        """Whether signatures and other referrers come along."""
        ...

    def wants(self, repo: str) -> bool:
        """Say whether a repository of the list is copied."""
        ...

    def target(self, repo: str) -> RepositoryName:
        """Return what a repository is called here. Raises `NameInvalid`."""
        ...

    def wants_tag(self, repo: str, tag: str) -> bool:
        """Say whether a tag is copied even if it belongs to no image that is copied."""
        ...

    def belonging(self, repo: str, companions: Mapping[str, str], copied: Iterable[Digest]) -> Sequence[str]:
        """Return which of the tags that belong to images are copied with them.

        `companions` are those tags with the stems of their images, and `copied` the images that are copied.
        """
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which repositories and tags, and what they are called here; see `Choice`."""

    repositories: Sequence[str] = ()
    """Names, or patterns as in `accessControl`; none: all repositories."""
    left_out: Sequence[str] = ()
    """Names or patterns of repositories that are not taken from the source's list."""
    tags: Sequence[re.Pattern[str]] = ()
    """A tag must match one of them as a whole; none: all tags."""
    excluded: Sequence[re.Pattern[str]] = ()
    """A tag that matches one of them as a whole is left out."""
    destination: str = ""
    """The beginning of the names of the repositories here, without slashes at its ends."""
    referrers: bool = True
    """Whether signatures and other referrers come along."""

    @property
    def named(self) -> Sequence[str]:
        """See `Choice`."""
        return () if any(map(is_pattern, self.repositories)) else self.repositories

    @property
    def needs_list(self) -> bool:
        """See `Choice`."""
        return not self.named

    def wants(self, repo: str) -> bool:
        """See `Choice`."""
        if any(matches(text, repo) for text in self.left_out):
            return False
        return not self.repositories or any(matches(text, repo) for text in self.repositories)

    def wants_tag(self, repo: str, tag: str) -> bool:
        """See `Choice`."""
        del repo
        if any(pattern.fullmatch(tag) for pattern in self.excluded):
            return False
        return not self.tags or any(pattern.fullmatch(tag) for pattern in self.tags)

    def belonging(self, repo: str, companions: Mapping[str, str], copied: Iterable[Digest]) -> Sequence[str]:
        """See `Choice`."""
        del repo
        if not self.referrers:
            return []
        if not self.tags and not self.excluded:
            return list(companions)
        return of_images(companions, copied)

    def target(self, repo: str) -> RepositoryName:
        """See `Choice`."""
        return RepositoryName.parse(f"{self.destination}/{repo}" if self.destination else repo)


def of_images(companions: Mapping[str, str], copied: Iterable[Digest]) -> Sequence[str]:
    """Return which tags belong to images that are copied; see `Choice.belonging`."""
    stems = set(map(fallback_tag, copied))
    return [tag for tag, its_stem in companions.items() if its_stem in stems]


def is_pattern(text: str) -> bool:
    """Say whether a name of a repository is a pattern, for which the source must list its repositories."""
    return SIGN.search(text) is not None
