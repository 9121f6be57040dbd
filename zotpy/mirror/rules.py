"""Which repository here is which one at an upstream, and which tags are mirrored. Pure functions, in zot's words.

A name here is `destination`, then the name at the upstream. With `stripPrefix` the latter lacks the directories that
`prefix` begins with::

    prefix       destination  stripPrefix  at the upstream   here
    **           docker.io    false        library/alpine    docker.io/library/alpine
    library/**   hub          true         library/alpine    hub/alpine
    library/al*               true         library/alpine    alpine

`here` and `there` are each other's inverse, for every name that either of them knows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from zotpy.core.digests import Digest
from zotpy.core.errors import NameInvalid
from zotpy.core.globs import SIGN, matches
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.settings.mirror import MirroredContent, MirroredRegistry, MirroredTags
from zotpy.upstream.docker_hub import names_of

_VERSION = re.compile(r"v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a repository is mirrored from."""

    registry: MirroredRegistry
    name: RepositoryName
    """What the upstream calls it."""
    tags: MirroredTags

    def has(self, reference: Reference) -> bool:
        """Say whether a manifest is mirrored.

        By digest each is, because manifests that are fetched by tag name others.
        """
        return not isinstance(reference, Tag) or is_mirrored(self.tags, reference)


def origins(registries: tuple[MirroredRegistry, ...], repo: RepositoryName) -> Iterator[Origin]:
    """Yield where a repository here may come from, in the order in which the upstreams are asked."""
    for registry in registries:
        for content in registry.content:
            if (name := there(content, repo)) is not None:
                yield Origin(registry, name, content.tags)
                break


def source_of(origins: Sequence[Origin]) -> str:
    """Return what stands for the upstreams of a repository, the same at all replicas."""
    return Digest.of("\n".join(origin.registry.urls[0] for origin in origins).encode()).hex[:16]


def local_name(registry: MirroredRegistry, name: RepositoryName) -> RepositoryName | None:
    """Return what a repository of an upstream is called here; `None`: it is not mirrored."""
    found = content_of(registry, name)
    return None if found is None else found[1]


def content_of(registry: MirroredRegistry, name: RepositoryName) -> tuple[MirroredContent, RepositoryName] | None:
    """Return the content that a repository of an upstream belongs to, and what it is called here."""
    named = ((content, here(content, name)) for content in registry.content)
    return next(((content, found) for content, found in named if found is not None), None)


def is_of(registry: MirroredRegistry, namespace: str) -> bool:
    """Say whether a namespace, as containerd's `ns=` names it, is that of a registry: the host of its address."""
    return namespace.lower() in names_of(urlsplit(registry.urls[0]).netloc.lower())


def there(content: MirroredContent, repo: RepositoryName) -> RepositoryName | None:
    """Return what the upstream calls a repository of ours; `None`: it does not belong to this content."""
    rest = _below(content.destination, repo.text)
    if rest is None:
        return None
    if content.strip_prefix:
        rest = "/".join(part for part in (literal_head(content.prefix), rest) if part)
    return _named(rest) if rest and matches(content.prefix, rest) else None


def here(content: MirroredContent, name: RepositoryName) -> RepositoryName | None:
    """Return what we call a repository of the upstream.

    `None`: it does not belong to this content, or has no name here.
    """
    if not matches(content.prefix, name.text):
        return None
    rest = _below(literal_head(content.prefix), name.text) if content.strip_prefix else name.text
    return None if rest is None else _named("/".join(part for part in (content.destination, rest) if part))


def is_mirrored(rules: MirroredTags, tag: Tag) -> bool:
    """Say whether a tag is mirrored."""
    if rules.regex is not None and rules.regex.search(tag.text) is None:
        return False
    if rules.exclude_regex is not None and rules.exclude_regex.search(tag.text) is not None:
        return False
    return not rules.semver or _VERSION.fullmatch(tag.text) is not None


def literal_head(pattern: str) -> str:
    """Return the directories that a pattern begins with, before the first with a star or the like: `a/b` of `a/b/c*`.

    If the pattern has no such character, it is returned whole.
    """
    sign = SIGN.search(pattern)
    return pattern if sign is None else pattern[: sign.start()].rpartition("/")[0]


def _below(directory: str, name: str) -> str | None:
    """Return what a name has below a directory, or nothing if it is the directory itself; `None`: it is elsewhere."""
    if not directory:
        return name
    if name == directory:
        return ""
    return name.removeprefix(f"{directory}/") if name.startswith(f"{directory}/") else None


def _named(text: str) -> RepositoryName | None:
    try:
        return RepositoryName.parse(text)
    except NameInvalid:
        return None
