"""Tags: one object each, holding the whole manifest it names, so that a pull by tag is one read.

No list of tags has to be kept up to date, and nothing has to be locked. A push of a tag writes the tag's object, and of
two pushes at once the later one stays. A push may be conditional if the store has conditions.
"""

import secrets
from dataclasses import dataclass, replace

from zotpy.bucket.entries import ATTEMPTS, overtaken
from zotpy.bucket.long_reads import Read, beginnings
from zotpy.bucket.reliance import require
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import PreconditionFailed, TagImmutable, Unsupported
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.preconditions import Condition
from zotpy.core.record_values import Due, ManifestValue
from zotpy.core.tag_values import TagValue
from zotpy.store.interface import ConditionFailed, Fetched, KeyMissing, Store


@dataclass(frozen=True, slots=True)
class Tags:
    """Reads, writes and deletes tags."""

    store: Store

    async def read(self, repo: RepositoryName, tag: Tag, read: Read | None = None) -> tuple[TagValue, Fetched] | None:
        """Read a tag, with the object it was read from; `None` if it does not exist.

        Without a `read` the manifest in it may be cut: what it names is known all the same.
        """
        if (fetched := await (read or beginnings(self.store))(keys.tag(repo, tag))) is None:
            return None
        return TagValue.decode(fetched.body), fetched

    async def etag_of(self, repo: RepositoryName, tag: Tag, digest: Digest) -> str | None:
        """Return the ETag of a tag that names this manifest; `None` if it names another, or does not exist."""
        found = await self.read(repo, tag)
        return found[1].etag if found is not None and found[0].digest == digest else None

    def require_conditions(self, condition: Condition) -> None:
        """Raise `Unsupported` if the store was not seen to honour what the condition needs."""
        features = self.store.features
        can_create = features.conditional_create or not condition.may_create
        if not (can_create and (features.conditional_replace or not condition.may_replace)):
            msg = "the store behind this registry has no conditional writes: push without If-None-Match and If-Match"
            raise Unsupported(msg, detail={"reason": "conditional"})

    def require_conditional_delete(self) -> None:
        """Raise `Unsupported` if the store was not seen to delete on a condition."""
        if not self.store.features.conditional_delete:
            msg = "the store behind this registry has no conditional deletes: delete without If-Match and If-None-Match"
            raise Unsupported(msg, detail={"reason": "conditional"})

    async def check(self, repo: RepositoryName, tag: Tag, condition: Condition, etags: dict[Tag, str]) -> None:
        """Raise `PreconditionFailed` or `TagImmutable` if the condition does not hold now. Note the ETag to replace."""
        found = await self.read(repo, tag)
        digest = None if found is None else found[0].digest
        require_to_hold(condition, tag, digest)
        if found is not None:
            etags[tag] = found[1].etag

    async def write(
        self,
        repo: RepositoryName,
        tag: Tag,
        digest: Digest,
        value: ManifestValue,
        condition: Condition | None = None,
        etags: dict[Tag, str] | None = None,
        due: Due | None = None,
    ) -> None:
        """Make a tag name a manifest. Raises what `check` does if the condition no longer holds, and `TooLate`.

        If another push came in between and the condition still holds, its tag is replaced, as if it had come before.
        `etags` are those that a conditional push may replace. After it they contain that of its own writing, so that
        the same push can write the tag again.
        """
        body = TagValue(digest, value, secrets.token_hex(8), None if due is None else due.until).encode()
        if condition is None:
            stored = await self.store.put(keys.tag(repo, tag), body)
            if due is not None:
                require(due, stored.store_time)
            return
        etags = {} if etags is None else etags
        for _ in range(ATTEMPTS):
            try:
                stored = await self.store.put(
                    keys.tag(repo, tag), body, if_none_match=tag not in etags, if_match=etags.get(tag)
                )
            except (ConditionFailed, KeyMissing):
                etags.pop(tag, None)
                await self.check(repo, tag, condition, etags)
            else:
                etags[tag] = stored.etag
                if due is not None:
                    require(due, stored.store_time)
                return
        raise overtaken(tag)

    async def delete(self, repo: RepositoryName, tag: Tag, etag: str | None = None) -> bool:
        """Delete a tag; with an ETag only if it is still the one that was read, otherwise `False`."""
        try:
            await self.store.delete(keys.tag(repo, tag), if_match=etag)
        except ConditionFailed:
            return False  # it was pushed since, and names what that push said
        return True

    async def delete_if_same(self, repo: RepositoryName, tag: Tag, digest: Digest, etag: str) -> bool:
        """Delete a tag if it is still the one that was seen, and say whether it was.

        Without conditions it reads the tag again first.
        """
        if self.store.features.conditional_delete:
            return await self.delete(repo, tag, etag)
        return await self.etag_of(repo, tag, digest) == etag and await self.delete(repo, tag)


def require_to_hold(condition: Condition, tag: Tag, digest: Digest | None) -> None:
    """Raise `PreconditionFailed` or `TagImmutable` if a condition does not hold for what a tag names, or for nothing.

    What the client asked for comes first.
    """
    if condition.holds(digest):
        return
    if not condition.moves(digest) or not replace(condition, only=None).holds(digest):
        raise does_not_hold(tag, digest)
    msg = f"the tag {tag} is immutable and names another manifest: push this one under another tag"
    raise TagImmutable(msg, detail={"tag": tag.text, "reason": "immutable"})


def does_not_hold(reference: Reference, digest: Digest | None) -> PreconditionFailed:
    """Return the error of a request whose condition does not hold for what exists, or for nothing."""
    if digest is None:
        return PreconditionFailed(f"{reference} is not there, and If-Match asks for it")
    return PreconditionFailed(f"{reference} is {digest} now, which If-Match or If-None-Match rules out")
