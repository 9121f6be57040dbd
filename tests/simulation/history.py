"""What clients did and what they were answered, and so what must exist.

Operations overlap, and those that failed may have happened or not. Overlapping operations may have happened in any
order. So a name must exist if a push of it was acknowledged and everything that could delete it had ended before that
push began. It must not exist if a DELETE was acknowledged and everything that could write it had ended before that one
began.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.simulation.contents import MANIFESTS, REPOS
from tests.simulation.scheduler import DEADLINE_S, GRACE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView, Sequence

    from zotpy.core.digests import Digest
    from zotpy.core.names import RepositoryName, Tag

What = Literal["push", "mirror", "delete", "delete tag", "keep blob", "fill", "see blob", "delete blob", "pull"]
PROMISED_S = GRACE_S / 2 - DEADLINE_S
"""How long a client may rely on a blob that it pushed, mounted, or saw with a HEAD."""


@dataclass(eq=False, slots=True)
class Operation:
    """One request, or a client's upload of one blob; times are steps of the schedule."""

    what: What
    repo: RepositoryName
    digest: Digest | None = None
    tag: Tag | None = None
    extra_tags: tuple[Tag, ...] = ()
    began: int = 0
    began_s: float = 0.0
    last: int | None = None
    """The last step in which it can have had an effect; `None`: it goes on."""
    ended_s: float = 0.0
    acknowledged: bool = False
    refused: bool = False
    """It was answered that nothing existed for it."""
    late: int = 0
    """How many of its calls will take effect although no caller waits for them."""

    @property
    def tags(self) -> tuple[Tag, ...]:
        """All tags that it touches by their names."""
        return () if self.tag is None else (self.tag, *self.extra_tags)

    @property
    def promised_until_s(self) -> float:
        """Until when a client may rely on a blob that it sent, mounted or saw.

        A process may be suspended before it answers. So the promise counts from the beginning of the request.
        """
        return min(self.ended_s + PROMISED_S, self.began_s + GRACE_S / 2)

    def is_after(self, others: Sequence[Operation]) -> bool:
        """Whether it began when the others were over: they have ended, and none of their calls is late."""
        for other in others:  # noqa: SIM110 - `all` with a generator takes twice as long, and this a tenth of a schedule
            if other.late or other.last is None or other.last >= self.began:
                return False
        return True


Name = tuple["RepositoryName", "Digest"]
NEEDS: list[tuple[Name, list[Name], list[Name]]] = [
    ((repo, digest), [(repo, child) for child in manifest.children], [(repo, blob) for blob in manifest.blobs])
    for repo in REPOS
    for digest, manifest in MANIFESTS.items()
]
"""All manifests in all repositories, each with its children and its blobs; an index comes before its children."""
PLACES = {name: place for place, (name, _, _) in enumerate(NEEDS)}
"""Where each of them is in `NEEDS`."""


def _lists() -> defaultdict[Name, list[Operation]]:
    return defaultdict(list)


@dataclass(eq=False)
class History:
    """All operations, by what they touch."""

    pushes: dict[Name, list[Operation]] = field(default_factory=_lists)
    deletes: dict[Name, list[Operation]] = field(default_factory=_lists)
    kept: dict[Name, list[Operation]] = field(default_factory=_lists)
    """Uploads, mounts and HEADs of blobs, and copies from an upstream."""
    blob_deletes: dict[Name, list[Operation]] = field(default_factory=_lists)
    tags: dict[tuple[RepositoryName, Tag], list[Operation]] = field(default_factory=lambda: defaultdict(list))
    """What writes or deletes a tag by its name."""
    retains: bool = False
    """Whether old manifests that no tag names may be deleted."""
    immutable: bool = False
    """Whether tags may be neither moved nor deleted once they exist."""
    pushed: set[int] = field(default_factory=set)
    """The places of all that is in `pushes`: to look for each name there took longer than all that follows from it."""

    def add(self, operation: Operation) -> None:
        """Note an operation that begins."""
        repo, digest = operation.repo, operation.digest
        if digest is not None:
            lists = {
                "push": self.pushes,
                "mirror": self.pushes,
                "delete": self.deletes,
                "keep blob": self.kept,
                "fill": self.kept,
                "see blob": self.kept,
                "delete blob": self.blob_deletes,
            }
            if operation.what in lists:
                lists[operation.what][repo, digest].append(operation)
            if operation.what in {"push", "mirror"}:
                self.pushed.add(PLACES[repo, digest])
        for tag in operation.tags:
            self.tags[repo, tag].append(operation)

    def obliged(self, now_s: float) -> tuple[KeysView[Name], KeysView[Name]]:
        """Return the manifests and the blobs that must exist, whole, in an order that follows from the seed."""
        reasons: dict[Name, list[Operation]] = {}
        blobs: dict[Name, None] = {}
        there: dict[Name, None] = {}
        tagged = {(repo, digest) for repo, _, digest in self.obliged_tags()} if self.retains else set()
        places = set(self.pushed)
        for place, (name, children, needed) in enumerate(NEEDS):
            if place not in places:
                continue
            pushes: Sequence[Operation] = self.pushes.get(name, ())
            because: Sequence[Operation] = reasons.get(name, ())
            deletes = self.deletes.get(name, ())
            lasts = not self.retains or name in tagged
            came, blobs_that_came = self._mirrored(pushes, deletes, needed)
            there |= dict.fromkeys([name] if came else [])
            blobs |= dict.fromkeys(blobs_that_came)
            pushes = [push for push in pushes if push.what == "push"]
            pushes = [
                push
                for push in pushes
                if push.acknowledged and push.is_after(deletes) and (lasts or now_s < push.promised_until_s)
            ]
            reasons[name] = because = [*pushes, *(push for push in because if push.is_after(deletes))]
            if not because:
                continue
            for child in children:
                reasons.setdefault(child, []).extend(because)
                places.add(PLACES[child])
            for blob in needed:
                deletes = self.blob_deletes.get(blob, ())
                kept = (keep for keep in self.kept.get(blob, ()) if keep.acknowledged)
                # the push of an index checks its children, and not what they need
                if not deletes or any(reason.is_after(deletes) for reason in (*pushes, *kept)):
                    blobs[blob] = None
        for name, keeps in self.kept.items():
            for keep in keeps:
                promised = keep.acknowledged and keep.what != "fill" and now_s < keep.promised_until_s
                if promised and keep.is_after(self.blob_deletes.get(name, ())):
                    blobs[name] = None
        found = {name: None for name, because in reasons.items() if because} | there
        return found.keys(), blobs.keys()

    def _mirrored(
        self, pushes: Sequence[Operation], deletes: Sequence[Operation], needed: Sequence[Name]
    ) -> tuple[bool, list[Name]]:
        """Say whether a manifest must exist that came from an upstream, and name the blobs that came after it."""
        mirrored = [push for push in pushes if push.what == "mirror" and push.acknowledged and push.is_after(deletes)]
        if not mirrored:
            return False, []
        kept = {name: [keep for keep in self.kept.get(name, ()) if keep.acknowledged] for name in needed}
        came = [
            name
            for name, keeps in kept.items()
            if not self.blob_deletes.get(name) and any(keep.is_after([push]) for keep in keeps for push in mirrored)
        ]
        return True, came

    def is_mirrored(self, name: Name) -> bool:
        """Say whether a manifest may have come before what it needs."""
        return any(push.what == "mirror" for push in self.pushes.get(name, ()))

    def gone(self) -> Iterator[Name]:
        """Yield the manifests that must not exist."""
        for name, deletes in self.deletes.items():
            pushes = self.pushes.get(name, ())
            if any(delete.acknowledged and delete.is_after(pushes) for delete in deletes):
                yield name

    def gone_blobs(self) -> Iterator[Name]:
        """Yield the blobs that must not exist: looking at one does not bring it back."""
        for name, deletes in self.blob_deletes.items():
            sent = [keep for keep in self.kept.get(name, ()) if keep.what in {"keep blob", "fill"}]
            if any(delete.acknowledged and delete.is_after(sent) for delete in deletes):
                yield name

    def obliged_tags(self) -> Iterator[tuple[RepositoryName, Tag, Digest]]:
        """Yield the tags that must name a manifest, each with it."""
        for (repo, tag), operations in self.tags.items():
            for push in operations:
                if push.what != "push" or not push.acknowledged or push.digest is None:
                    continue
                others = [one for one in operations if one is not push]
                if push.is_after([*others, *self.deletes.get((repo, push.digest), ())]):
                    yield repo, tag, push.digest

    def fixed_tags(self) -> Iterator[tuple[RepositoryName, Tag, Digest]]:
        """Yield the immutable tags of acknowledged pushes, each with what it must name from then on."""
        if self.immutable:
            for (repo, tag), operations in self.tags.items():
                for push in operations:
                    if push.acknowledged and push.digest is not None:
                        yield repo, tag, push.digest

    def gone_tags(self) -> Iterator[tuple[RepositoryName, Tag, Digest]]:
        """Yield tags that must not name a manifest any more, each with it: they were deleted with it."""
        for (repo, tag), operations in self.tags.items():
            for digest in {push.digest for push in operations if push.digest is not None}:
                pushes = [push for push in operations if push.digest == digest]
                deletes = self.deletes.get((repo, digest), ())
                if any(delete.acknowledged and delete.is_after(pushes) for delete in deletes):
                    yield repo, tag, digest

    def rivals(self) -> Iterator[tuple[RepositoryName, Tag, Digest]]:
        """Yield tags whose only push overlapped with a DELETE of its manifest: both exist, or neither."""
        for (repo, tag), operations in self.tags.items():
            for push in operations:
                if push.what != "push" or not push.acknowledged or push.digest is None:
                    continue
                of_tag = [one for one in operations if one is not push]
                of_manifest = [one for one in self.pushes.get((repo, push.digest), ()) if one is not push]
                deletes = self.deletes.get((repo, push.digest), ())
                settled = all(delete.acknowledged or delete.refused for delete in deletes)
                if settled and push.is_after([*of_tag, *of_manifest]) and not push.is_after(deletes):
                    yield repo, tag, push.digest

    def of_one_push(self) -> Iterator[tuple[RepositoryName, Tag, Tag, Digest]]:
        """Yield pairs of tags that one push wrote, and no other request since: they stay or disappear together."""
        for (repo, digest), pushes in self.pushes.items():
            settled = all(one.acknowledged or one.refused for one in self.deletes.get((repo, digest), ()))
            for push in pushes:
                others = [one for tag in push.tags for one in self.tags[repo, tag] if one is not push]
                if settled and push.acknowledged and push.extra_tags and push.is_after(others):
                    yield repo, push.tags[0], push.tags[1], digest
