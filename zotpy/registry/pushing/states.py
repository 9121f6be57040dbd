"""The state of an upload in the store. It replaces only the state that was read or written before it."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import trio

from zotpy.bucket.reliance import local_s
from zotpy.concurrency import cleaning_up
from zotpy.core.upload_state import UploadState
from zotpy.store.holds import impatient, insist
from zotpy.store.interface import Body, ConditionFailed, Store, Stored
from zotpy.store.own_writes import own_write

SAVE_S = 20.0
"""How long one attempt to save may take, also for a request that was given up."""


@dataclass(eq=False, slots=True)
class SavedState:
    """One request's view of it: what it read, and then what it wrote."""

    store: Store
    key: str
    state: UploadState
    etag: str | None
    """`None` if the store has none."""
    store_time: datetime | None = None
    """The store's time when it was read."""
    read_at: float = field(default_factory=lambda: local_s(), init=False)  # noqa: PLW0108 - found when it is called
    in_doubt: bool = field(default=False, init=False)
    """A write failed, but may have happened all the same; or another request has gone on with this upload."""

    def is_kept_for(self, age_s: float) -> bool:
        """Say whether what the state keeps (see `kept`) was written less than `age_s` seconds ago."""
        if self.state.kept is None or self.store_time is None:
            return False
        age_at_reading_s = (self.store_time - self.state.kept.time).total_seconds()
        return age_at_reading_s + local_s() - self.read_at < age_s

    async def save(self, state: UploadState) -> None:
        """Write the state after a chunk, or in its middle. Raises `ConditionFailed` if another chunk was faster."""
        if state.offset == 0:
            return
        value = state.encode()
        self.in_doubt = True
        try:
            stored = await insist("save", partial(self._put, value), partial(own_write, self.store, self.key, value))
        except ConditionFailed:
            self.in_doubt = False
            raise
        self.in_doubt = False
        self.state, self.etag = state, stored.etag

    async def _put(self, value: Body) -> Stored:
        """Try once to write the state. A request that was given up does not wait for the store to recover."""
        features = self.store.features
        with trio.fail_after(SAVE_S, shield=True), impatient():
            if self.etag is None:
                return await self.store.put(self.key, value, if_none_match=features.conditional_create)
            if_match = self.etag if features.conditional_replace else None
            return await self.store.put(self.key, value, if_match=if_match)

    async def forget(self) -> None:
        """Delete the state, if it exists: the upload is over. Never raises a `StoreError`."""
        if self.etag is not None:
            with cleaning_up():
                await self.store.delete(self.key)

    def names_multipart(self) -> bool:
        """Say whether a state in the store may name a multipart: then it must stay."""
        return self.in_doubt or self.state.multipart is not None
