"""The invariants, checked with the registry's own reading on the store as it is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.contents import BLOBS, MANIFESTS, NAMES, REPOS
from zotpy.core import keys
from zotpy.core.errors import BlobUnknown, ManifestUnknown
from zotpy.core.names import Tag

if TYPE_CHECKING:
    from collections.abc import KeysView

    from tests.simulation.clock import StepClock
    from tests.simulation.history import History, Name, Operation
    from tests.simulation.reading import NotedStore
    from zotpy.core.digests import Digest
    from zotpy.core.names import Reference, RepositoryName
    from zotpy.core.record_values import BlobValue
    from zotpy.registry.manifest_reads import FoundManifest
    from zotpy.registry.registry import Registry
    from zotpy.store.memory_store import MemoryStore


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Reads the store directly, past everything in front of it."""

    store: MemoryStore
    noted: NotedStore
    """The same."""
    registry: Registry
    """On `noted`."""
    history: History
    clock: StepClock

    def check_whole(self) -> None:
        """Raise `Broken` unless everything that must exist can be pulled."""
        manifests, blobs = self.history.obliged(self.clock.now_s)
        for repo, digest in manifests:
            if not self.has_manifest(repo, digest):
                raise Broken(_say("manifest", repo, digest, "was lost"))
        for repo, digest in blobs:
            self._check_blob(repo, digest)
        for repo, tag, digest in self.history.fixed_tags():
            if self.named_by(repo, tag) != digest or not self.has_manifest(repo, digest):
                raise Broken(_say(f"immutable tag {tag} of", repo, digest, "was moved or lost"))

    def check_quiet(self) -> None:
        """Check, when no request is under way, what must not exist, the tags, and everything that can be seen."""
        self.check_whole()
        self._check_gone()
        self._check_tags()
        for repo in REPOS:
            for digest in MANIFESTS:
                if self.has_manifest(repo, digest):
                    self._check_seen(repo, digest)

    def check_named(self) -> None:
        """Check that every tag names an existing manifest."""
        for repo in REPOS:
            for key in [key for key in self.store.objects if key.startswith(keys.tags(repo))]:
                tag = Tag(key.removeprefix(keys.tags(repo)))
                digest = self.named_by(repo, tag)
                if digest is not None and not self.has_manifest(repo, digest):
                    raise Broken(_say(f"tag {tag} names", repo, digest, "that is not there"))

    def check_empty(self) -> None:
        """Check that nothing is left except what every bucket has."""
        left = sorted(key for key in self.store.objects if not key.startswith("meta/"))
        left += sorted(self.store.multiparts)
        if left:
            msg = f"left behind: {left}"
            raise Broken(msg)

    def check_refusal(self, operation: Operation, before: tuple[KeysView[Name], KeysView[Name]]) -> None:
        """Raise `Broken` if a request did not find what existed from its beginning to its end."""
        manifests, blobs = self.history.obliged(self.clock.now_s)
        name = operation.repo, operation.digest
        needed = MANIFESTS.get(operation.digest) if operation.digest is not None else None
        if operation.what == "push" and needed is not None:
            names = {(operation.repo, child) for child in needed.children}
            layers = {(operation.repo, blob) for blob in needed.blobs}
            is_right = not (names <= before[0] & manifests and layers <= before[1] & blobs)
        else:
            is_right = name not in before[0] & manifests and name not in before[1] & blobs
        if not is_right and operation.digest is not None:
            raise Broken(_say(f"a {operation.what} of", operation.repo, operation.digest, "found nothing there"))

    def fail_stale(self, operation: Operation) -> None:
        """Raise `Broken`: a request found what had been deleted before it began."""
        if operation.digest is not None:
            raise Broken(_say(f"a {operation.what} of", operation.repo, operation.digest, "found what was deleted"))

    def has_manifest(self, repo: RepositoryName, digest: Digest) -> bool:
        """Whether a manifest can be pulled by its digest."""
        try:
            self._manifest(repo, digest)
        except ManifestUnknown:
            return False
        return True

    def has_blob(self, repo: RepositoryName, digest: Digest) -> bool:
        """Whether a blob exists, as a request would see it."""
        try:
            self._blob(repo, digest)
        except BlobUnknown:
            return False
        return True

    def named_by(self, repo: RepositoryName, tag: Tag) -> Digest | None:
        """Return what a tag names."""
        try:
            return self._manifest(repo, tag).digest
        except ManifestUnknown:
            return None

    def _manifest(self, repo: RepositoryName, reference: Reference) -> FoundManifest:
        return self.noted.found((repo, reference), partial(self.registry.manifests.find, repo, reference))

    def _blob(self, repo: RepositoryName, digest: Digest) -> BlobValue:
        return self.noted.found(("blob", repo, digest), partial(self.registry.blobs.find, repo, digest))

    def _check_gone(self) -> None:
        """Check that what was deleted does not exist."""
        for repo, digest in self.history.gone():
            if self.has_manifest(repo, digest):
                raise Broken(_say("manifest", repo, digest, "was deleted and is there"))
        for repo, tag, digest in self.history.gone_tags():
            if self.named_by(repo, tag) == digest:
                raise Broken(_say(f"tag {tag} of", repo, digest, "was deleted and is there"))
        for repo, digest in self.history.gone_blobs():
            if self.has_blob(repo, digest):
                raise Broken(_say("blob", repo, digest, "was deleted and is there"))

    def _check_tags(self) -> None:
        """Check that tags name what they must, and appear and disappear together with what they name."""
        for repo, tag, digest in self.history.obliged_tags():
            if self.named_by(repo, tag) != digest:
                raise Broken(_say(f"tag {tag} of", repo, digest, "was lost"))
        for repo, tag, digest in self.history.rivals():
            if (self.named_by(repo, tag) == digest) != self.has_manifest(repo, digest):
                raise Broken(_say(f"tag {tag} of", repo, digest, "and its manifest are not of one mind"))
        for repo, tag, other, digest in self.history.of_one_push():
            if (self.named_by(repo, tag) == digest) != (self.named_by(repo, other) == digest):
                raise Broken(_say("of the tags of one push of", repo, digest, "one was lost"))

    def _check_seen(self, repo: RepositoryName, digest: Digest) -> None:
        """Check that a visible manifest is whole, acknowledged or not, except for what was deleted by name."""
        if self.history.is_mirrored((repo, digest)):
            return
        for child in MANIFESTS[digest].children:
            if self.history.is_mirrored((repo, child)):
                continue
            if not self.history.deletes.get((repo, child)) and not self.has_manifest(repo, child):
                raise Broken(_say(f"child of {NAMES[str(digest)]}", repo, child, "is missing"))
        for blob in MANIFESTS[digest].blobs:
            if not self.history.blob_deletes.get((repo, blob)):
                self._check_blob(repo, blob)

    def _check_blob(self, repo: RepositoryName, digest: Digest) -> None:
        try:
            value = self._blob(repo, digest)
        except BlobUnknown:
            raise Broken(_say("blob", repo, digest, "was lost")) from None
        if value.data_id is None:
            found = value.content
        elif (stored := self.store.objects.get(keys.data(value.data_id))) is None:
            raise Broken(_say("blob", repo, digest, f"has lost its data {value.data_id}"))
        else:
            found = stored.body
        if found != BLOBS[digest]:
            raise Broken(_say("blob", repo, digest, "has other bytes"))


def _say(what: str, repo: RepositoryName, digest: Digest, happened: str) -> str:
    return f"{what} {NAMES[str(digest)]} in {repo} {happened}"
