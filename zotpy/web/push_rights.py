"""Whether a push may make its tags or replace them, made a condition of the push.

A tag that a rule makes immutable may be made, and pushed again with what it names, but not moved.

A caller who may create tags but not update them must not replace one, and one who may only update must not make one.
Whether a tag exists is known for certain only when it is written. So the push carries the condition that the headers
`If-None-Match: *` or `If-Match: *` would set, and the store holds to it. Of two pushes that both create a tag, one is
refused.

As in zot, a push by digest with several `?tag=` needs for each tag what that tag needs, and the same for the digest:
`create` if any of the tags is new, `update` if any exists.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from zotpy.auth.actions import Action
from zotpy.auth.permission import Permission
from zotpy.core.errors import PreconditionFailed, Unsupported
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.preconditions import Condition


class PushRights:
    """What a caller may do with the tags of one push, which they are allowed to try."""

    def __init__(
        self, permission: Permission, repo: RepositoryName, reference: Reference, extra_tags: Sequence[Tag]
    ) -> None:
        """Raise what `Permission.require` raises if the push has no tag, and the caller may not create a manifest."""
        self._permission, self._repo = permission, repo
        self._tags = [reference, *extra_tags] if isinstance(reference, Tag) else list(extra_tags)
        self._digest = [] if isinstance(reference, Tag) else [str(reference)]
        is_open = permission.is_open
        if not self._tags and not is_open:
            permission.require(Action.CREATE, repo, str(reference))
        self.immutable = frozenset(
            tag for tag in self._tags if not is_open and permission.is_fixed(Action.UPDATE, repo, tag)
        )
        """The tags that must not move."""
        self._missing = {} if is_open else {tag: missing for tag in self._tags if (missing := self._lacks(tag))}

    def _lacks(self, tag: Tag) -> list[Action]:
        """Return which actions the caller lacks for a tag, or for the digest that is pushed under it."""
        asked = [*self._digest, tag.text]
        return [
            action
            for action in (Action.CREATE, Action.UPDATE)
            if not all(self._permission.allows(action, self._repo, each) for each in asked)
        ]

    def narrowed(self, condition: Condition | None) -> Mapping[Tag, Condition]:
        """Return the conditions of tags that differ from the client's: what the caller lacks must not be needed."""
        narrowed = {}
        for tag, missing in self._missing.items():
            own = condition or Condition()
            for action in missing:
                own = own.and_present() if action is Action.CREATE else own.and_absent()
            if own != condition:
                narrowed[tag] = own
        return narrowed

    @contextmanager
    def explained(self, condition: Condition | None) -> Iterator[None]:
        """Raise what `Permission.require` raises if the push fails, and not by the client's own condition.

        A store without conditional writes cannot hold to a condition. There a push needs both actions.
        """
        try:
            yield
        except (PreconditionFailed, Unsupported) as error:
            for tag in self.narrowed(condition):
                for action in self._missing[tag]:
                    for asked in (tag.text, *self._digest):
                        self._permission.require(action, self._repo, asked)
            if isinstance(error, Unsupported) and self.immutable:
                msg = "the store behind this registry has no conditional writes, which a push of an immutable tag needs"
                raise Unsupported(msg, detail={"reason": "conditional"}) from error
            raise
