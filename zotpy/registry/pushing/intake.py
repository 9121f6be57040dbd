"""What each request needs that sends bytes: a pipeline for its body, and a way to drop what nothing will name."""

from dataclasses import dataclass

from zotpy.core.parts import TAIL_LIMIT_BYTES
from zotpy.core.quick import quickly_made
from zotpy.core.upload_state import UploadState
from zotpy.memory.accounts import Account
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.pushing.checkpoints import Checkpoint
from zotpy.registry.pushing.committing import Commit
from zotpy.registry.pushing.in_flight import Limits
from zotpy.registry.pushing.pipeline import PartPipeline
from zotpy.registry.pushing.states import SavedState
from zotpy.settings import Settings
from zotpy.store.interface import Store

GONE = "the store no longer has the bytes of this upload: begin a new one with POST"


@quickly_made
@dataclass(frozen=True, slots=True)
class Intake:
    """Takes in bodies."""

    store: Store
    commits: Commit
    budget: MemoryBudget
    settings: Settings

    def pipeline(
        self,
        state: UploadState,
        account: Account,
        checkpoint: Checkpoint | None = None,
        *,
        may_be_all: bool = False,
        checkpoint_bytes: int | None = None,
        runs_ahead: bool = False,
    ) -> PartPipeline:
        """Make the pipeline for one body after a state; see `PartPipeline` for the rest.

        `checkpoint_bytes` is the distance of checkpoints, if it is not that of the settings.
        For `runs_ahead` see `Limits`.
        """
        settings, half = self.settings, self.budget.total_bytes // 2
        limits = Limits(
            in_flight_bytes=min(settings.upload.parts_in_flight * settings.upload.part_size_bytes, half),
            held_bytes=half,
            tail_bytes=max(TAIL_LIMIT_BYTES, settings.upload.part_size_bytes),
            checkpoint_bytes=checkpoint_bytes or settings.upload.checkpoint_bytes,
            runs_ahead=runs_ahead,
        )
        return PartPipeline(self.store, limits, account, state, state.hasher(), checkpoint, may_be_all)

    async def drop_unsaved(self, saved: SavedState, state: UploadState) -> None:
        """Abort a multipart that this request began, and that no saved state names."""
        if not saved.names_multipart():
            await self.commits.placing.drop_multipart(state)

    async def abandon(self, saved: SavedState, state: UploadState) -> None:
        """Drop everything that an ended upload has."""
        await self.commits.placing.drop_multipart(state)
        await saved.forget()
