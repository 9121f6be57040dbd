"""Which manifests of a repository are deleted, and in which order: a function of the rules and of all references.

A manifest stays if a tag that stays names it, if it is young, or if the policy deletes no manifest of its kind. A
manifest that stays keeps what it mentions, and its referrers: manifests whose subject it is, and manifests with a tag
that says so. The rest is deleted, each before what it would keep. So if a collection breaks off, or finds at the last
moment that something stays, it has deleted nothing that is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from zotpy.core.digests import Digest
from zotpy.core.names import Tag
from zotpy.settings import PolicySettings

Node = Digest | Tag
"""A manifest, or a tag that says whose referrer it names."""


@dataclass(frozen=True, slots=True)
class ManifestSeen:
    """A manifest as it was found."""

    is_old: bool
    """Its newest lease is older than the delay."""
    mentions: frozenset[Digest] = frozenset()
    """All digests that it needs or mentions, except its subject."""
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class ReferrerTag:
    """A tag such as `sha256-0123....sig`."""

    tag: Tag
    digest: Digest
    """Digest of the manifest that it names."""
    subject: Digest
    is_old: bool
    """It was pushed longer ago than the delay."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What keeps what in one repository."""

    manifests: Mapping[Digest, ManifestSeen]
    referrer_tags: Mapping[Tag, ReferrerTag]
    mentioned: Mapping[Node, frozenset[Node]]
    """What a node mentions, if it exists."""
    referring: Mapping[Node, frozenset[Node]]
    """The referrers of a node."""

    @classmethod
    def of(cls, manifests: Mapping[Digest, ManifestSeen], referrer_tags: Iterable[ReferrerTag] = ()) -> "Graph":
        """Connect manifests and tags of referrers."""
        tags = {each.tag: each for each in referrer_tags}
        mentioned: dict[Node, frozenset[Node]] = {
            digest: frozenset(seen.mentions & manifests.keys()) for digest, seen in manifests.items()
        }
        mentioned |= {tag: frozenset({each.digest} & manifests.keys()) for tag, each in tags.items()}
        referring: dict[Node, set[Node]] = {}
        for digest, seen in manifests.items():
            if seen.subject is not None:
                referring.setdefault(seen.subject, set()).add(digest)
        for tag, each in tags.items():
            referring.setdefault(each.subject, set()).add(tag)
        return cls(manifests, tags, mentioned, {node: frozenset(nodes) for node, nodes in referring.items()})

    def staying(self, policy: PolicySettings, tagged: Iterable[Digest]) -> frozenset[Node]:
        """Return what stays if these manifests have tags that stay; tags of referrers do not count."""
        roots: set[Node] = {digest for digest in tagged if digest in self.manifests}
        for digest, seen in self.manifests.items():
            may_go = policy.delete_untagged if seen.subject is None else policy.delete_referrers
            if not may_go or not seen.is_old:
                roots.add(digest)
        roots |= {tag for tag, each in self.referrer_tags.items() if not policy.delete_referrers or not each.is_old}
        return self.kept_by(roots)

    def untagged(self, tagged: Iterable[Digest]) -> frozenset[Digest]:
        """Return the manifests that no tag names and no other manifest mentions, and that refer to none."""
        named = {*tagged, *(each.digest for each in self.referrer_tags.values())}
        named.update(node for nodes in self.mentioned.values() for node in nodes if isinstance(node, Digest))
        return frozenset(digest for digest, seen in self.manifests.items() if seen.subject is None) - named

    def kept_by(self, roots: Iterable[Node]) -> frozenset[Node]:
        """Return these nodes, and everything that stays because of them."""
        kept: set[Node] = set()
        waiting = list(roots)
        while waiting:
            node = waiting.pop()
            if node not in kept:
                kept.add(node)
                waiting += self.mentioned.get(node, frozenset()) | self.referring.get(node, frozenset())
        return frozenset(kept)

    def going(self, staying: frozenset[Node]) -> Sequence[Node]:
        """Return what does not stay, each before what it would keep."""
        nodes = [node for node in self.mentioned if node not in staying]
        try:
            return self._sorted(nodes, self.mentioned, self.referring)
        except CycleError:  # a manifest that lists its own subject
            return self._sorted(nodes, self.mentioned)

    def reason(self, node: Node) -> str:
        """Say why a node is deleted."""
        each = self.referrer_tags[node] if isinstance(node, Tag) else self.manifests[node]
        if each.subject is None:
            return "no tag names it, and nothing that stays refers to it"
        if each.subject in self.manifests:
            return f"its subject {each.subject} is deleted"
        return f"its subject {each.subject} does not exist"

    def _sorted(self, nodes: Sequence[Node], *links: Mapping[Node, frozenset[Node]]) -> Sequence[Node]:
        before: dict[Node, set[Node]] = {node: set() for node in nodes}
        for node in nodes:
            for link in links:
                for after in link.get(node, frozenset()) & before.keys():
                    before[after].add(node)
        return list(TopologicalSorter(before).static_order())
