"""Whether a push may make its tags or replace them, made a condition of the push.

A tag that a rule makes immutable may be made, and pushed again with what it names, but not moved.

A caller who may create tags but not update them must not replace one, and one who may only update must not make one.
Whether a tag exists is known for certain only when it is written. So the push carries the condition that the headers
`If-None-Match: *` or `If-Match: *` would set, and the store holds to it: of two pushes that both create a tag, one is
refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zotpy.auth.actions import Action
from zotpy.auth.permission import Permission
from zotpy.core.conditions import Condition
from zotpy.core.errors import PreconditionFailed, Unsupported
from zotpy.core.names import Reference, RepositoryName, Tag


class PushRights:
    """What a caller may do with the tags of one push, which they are allowed to try."""

    def __init__(
        self, permission: Permission, repo: RepositoryName, reference: Reference, extra_tags: Sequence[Tag]
    ) -> None:
        """Raise what `Permission.require` raises if the push has no tag, and the caller may not create a manifest."""
        self._permission, self._repo, self._is_open = permission, repo, permission.is_open
        self._tags = [reference, *extra_tags] if isinstance(reference, Tag) else list(extra_tags)
        if not self._tags and not self._is_open:
            permission.require(Action.CREATE, repo, str(reference))
        self.immutable = frozenset(
            tag for tag in self._tags if not self._is_open and permission.is_fixed(Action.UPDATE, repo, tag)
        )
        """The tags that must not move."""
        self._missing = [action for action in (Action.CREATE, Action.UPDATE) if not self._has(action)]

    def _has(self, action: Action) -> bool:
        return self._is_open or all(self._permission.allows(action, self._repo, tag.text) for tag in self._tags)

    def narrowed(self, condition: Condition | None) -> Condition | None:
        """Return the condition of the push: that of the client, and what the caller may not do must not be needed."""
        for action in self._missing:
            condition = condition or Condition()
            condition = condition.and_present() if action is Action.CREATE else condition.and_absent()
        return condition

    @contextmanager
    def explained(self, condition: Condition | None) -> Iterator[None]:
        """Raise what `Permission.require` raises if the push fails, and not by the client's own condition.

        A store without conditional writes cannot hold to a condition. There a push needs both actions.
        """
        try:
            yield
        except (PreconditionFailed, Unsupported) as error:
            if self.narrowed(condition) != condition:
                for action in self._missing:
                    for tag in self._tags:
                        self._permission.require(action, self._repo, tag.text)
            if isinstance(error, Unsupported) and self.immutable:
                msg = "the store behind this registry has no conditional writes, which a push of an immutable tag needs"
                raise Unsupported(msg, detail={"reason": "conditional"}) from error
            raise
