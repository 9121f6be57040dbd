"""The state of an upload in the store, written only in the place of the one that was read or written before it."""

from dataclasses import dataclass, field
from datetime import datetime

from zotpy.core.uploads import UploadState
from zotpy.registry.concurrency import cleaning_up, within_deadline
from zotpy.registry.reliance import local_s
from zotpy.store.interface import ConditionFailed, Store

SAVE_S = 20.0
"""How long saving may take, also for a request that was given up."""


@dataclass(eq=False, slots=True)
class SavedState:
    """One request's view of it: what it read, and then what it wrote."""

    store: Store
    key: str
    state: UploadState
    etag: str | None
    """`None` where there is none in the store."""
    store_time: datetime | None = None
    """The store's clock when it was read."""
    read_at: float = field(default_factory=lambda: local_s(), init=False)  # noqa: PLW0108 - found when it is called
    in_doubt: bool = field(default=False, init=False)
    """A write failed, and may have happened all the same."""

    def is_kept_for(self, age_s: float) -> bool:
        """Say whether what the state keeps (see `zotpy.registry.kept`) was written less than `age_s` seconds ago."""
        if self.state.kept is None or self.store_time is None:
            return False
        age_at_reading_s = (self.store_time - self.state.kept.time).total_seconds()
        return age_at_reading_s + local_s() - self.read_at < age_s

    async def save(self, state: UploadState) -> None:
        """Write the state after a chunk, or in its middle; raises `ConditionFailed` where another chunk was faster."""
        if state.offset == 0:
            return
        features = self.store.features
        value = state.encode()
        self.in_doubt = True
        try:
            with within_deadline(SAVE_S, shield=True):
                if self.etag is None:
                    stored = await self.store.put(self.key, value, if_none_match=features.conditional_create)
                else:
                    if_match = self.etag if features.conditional_replace else None
                    stored = await self.store.put(self.key, value, if_match=if_match)
        except ConditionFailed:
            self.in_doubt = False
            raise
        self.in_doubt = False
        self.state, self.etag = state, stored.etag

    async def forget(self) -> None:
        """Delete the state, where there is one: the upload is over. Never raises a `StoreError`."""
        if self.etag is not None:
            with cleaning_up():
                await self.store.delete(self.key)

    def names_multipart(self) -> bool:
        """Say whether a state in the store may name a multipart: then it must stay."""
        return self.in_doubt or self.state.multipart_id is not None
