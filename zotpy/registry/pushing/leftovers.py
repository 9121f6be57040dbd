"""The states of small uploads that are over. They are deleted together, up to a second later.

docker, podman, skopeo and crane push each blob with a PATCH, which leaves a state. To delete the states of a small
image beside its entries takes a call and two tasks for each of them: 7 % of the work for the whole image.

Until a state is deleted, this replica knows that its upload is over. Another replica may still find the state, as it
does if its deletion fails. Nothing relies on its absence: the blob exists, and who repeats the PUT makes it again. If
this replica is killed, the collector deletes the states.
"""

from dataclasses import dataclass, field

import trio

from zotpy.concurrency import cleaning_up
from zotpy.store.interface import Store

GATHER_S = 1.0
MOST = 1000
"""How many states wait at most. S3 deletes so many in one call."""


@dataclass(eq=False, slots=True)
class Leftovers:
    """The keys of states that are to be deleted."""

    _keys: dict[str, None] = field(default_factory=dict)
    _some: trio.Event = field(default_factory=trio.Event)
    _is_running: bool = False

    def __contains__(self, key: str) -> bool:
        """Say whether an upload is over although its state may still exist."""
        return key in self._keys

    @property
    def has_room(self) -> bool:
        """Whether a state may be deleted later. If not, the request that ends the upload deletes it."""
        return self._is_running and len(self._keys) < MOST

    def add(self, key: str) -> None:
        """Have a state deleted later."""
        self._keys[key] = None
        self._some.set()

    async def keep_deleting(self, store: Store) -> None:
        """Delete states a second after the first of them was added, until cancelled."""
        self._is_running = True
        try:
            while True:
                await self._some.wait()
                await trio.sleep(GATHER_S)
                self._some = trio.Event()
                await self.delete(store)
        finally:
            self._is_running = False

    async def delete(self, store: Store) -> None:
        """Delete what waits; bounded in time. Never raises a `StoreError`."""
        keys = list(self._keys)
        try:
            with cleaning_up():
                for start in range(0, len(keys), MOST):
                    await store.delete_many(keys[start : start + MOST])
        finally:
            for key in keys:
                self._keys.pop(key, None)
