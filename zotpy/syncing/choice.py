"""What of a mirrored registry is copied: what its `content` says, as for the mirror on demand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from zotpy.core.digests import Digest
from zotpy.core.errors import NameInvalid
from zotpy.core.names import RepositoryName, Tag
from zotpy.importing.selection import of_images
from zotpy.mirror.rules import content_of, is_mirrored, literal_head
from zotpy.settings.mirror import MirroredContent, MirroredRegistry, MirroredTags


@dataclass(frozen=True)
class MirroredChoice:
    """See `zotpy.importing.selection.Choice`."""

    registry: MirroredRegistry
    referrers: bool = field(default=True, init=False)

    @cached_property
    def named(self) -> Sequence[str]:
        """The prefixes that are names: registries without a list, such as Docker Hub, are asked for these."""
        names = dict.fromkeys(each.prefix for each in self.registry.content if _is_name(each.prefix))
        return [name for name in names if self._find(name) is not None]

    @property
    def needs_list(self) -> bool:
        """See `Choice`."""
        return not all(_is_name(each.prefix) for each in self.registry.content)

    def wants(self, repo: str) -> bool:
        """See `Choice`."""
        return repo not in self.named and self._find(repo) is not None

    def target(self, repo: str) -> RepositoryName:
        """See `Choice`."""
        if (found := self._find(repo)) is not None:
            return found[1]
        msg = f"{repo} has no name in this registry"
        raise NameInvalid(msg)

    def wants_tag(self, repo: str, tag: str) -> bool:
        """See `Choice`."""
        found = self._find(repo)
        return found is not None and is_mirrored(found[0].tags, Tag(tag))

    def belonging(self, repo: str, companions: Mapping[str, str], copied: Iterable[Digest]) -> Sequence[str]:
        """See `Choice`. Tags that list referrers, and so have no ending, come in any case."""
        found = self._find(repo)
        wanted = {tag: stem for tag, stem in companions.items() if self.registry.cosign_tags or "." not in tag}
        if found is not None and found[0].tags == MirroredTags() and not self.registry.only_signed:
            return list(wanted)
        return of_images(wanted, copied)

    def _find(self, repo: str) -> tuple[MirroredContent, RepositoryName] | None:
        try:
            return content_of(self.registry, RepositoryName.parse(repo))
        except NameInvalid:
            return None


def _is_name(prefix: str) -> bool:
    return literal_head(prefix) == prefix
