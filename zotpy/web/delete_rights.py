"""Which tags a DELETE may take: not those that a rule makes immutable, and perhaps not several at once.

A DELETE of a digest takes all tags that name the manifest. Which they are is known for certain only when the manifest
is buried. So `judge` is called by what buries it, with just the tags that it takes (`zotpy.bucket.deletions`).
"""

from collections.abc import Collection
from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.auth.permission import Permission
from zotpy.core.errors import ManifestShared, TagImmutable
from zotpy.core.names import RepositoryName, Tag


@dataclass(frozen=True, slots=True)
class DeleteRights:
    """What a caller may delete of one repository, in which they may delete."""

    permission: Permission
    repo: RepositoryName

    def require_tag(self, tag: Tag) -> None:
        """Return if the caller may delete this tag. Raises `TagImmutable`, whether or not the tag exists."""
        if self.permission.is_fixed(Action.DELETE, self.repo, tag):
            msg = f"the tag {tag} is immutable: only those whom the adminPolicy lets delete may delete it"
            raise TagImmutable(msg, detail={"tag": tag.text, "reason": "immutable"})

    def judge(self, tags: Collection[Tag]) -> None:
        """Return if the caller may delete a manifest with these tags. Raises `TagImmutable`, `ManifestShared`."""
        if any(self.permission.is_fixed(Action.DELETE, self.repo, tag) for tag in tags):
            msg = "an immutable tag names the manifest: only those whom the adminPolicy lets delete may delete it"
            raise TagImmutable(msg, detail={"reason": "immutable"})
        if len(tags) > 1 and self.permission.detects_collisions(self.repo):
            msg = "several tags name the manifest: delete the tags that you mean"
            raise ManifestShared(msg, detail={"reason": "detectManifestCollision"})
