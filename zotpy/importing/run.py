"""One run of copies into the bucket: its jobs one after another, whatever each copies from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from zotpy.importing.copying import IsImmutable
from zotpy.importing.importer import SourceGone
from zotpy.importing.tally import Tally
from zotpy.registry.registry import Registry
from zotpy.upstream import UpstreamError


class Job(Protocol):
    """What is copied from one source."""

    @property
    def title(self) -> str:
        """The source, for people."""
        ...

    async def is_due(self, registry: Registry, /) -> bool:
        """Say whether to copy now."""
        ...

    async def run(self, registry: Registry, is_immutable: IsImmutable, tally: Tally, /) -> None:
        """Copy. Raises `UpstreamError`, `SourceGone`, `StoreError`, `StartupError`."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """Copies what is due of some jobs."""

    jobs: Sequence[Job]
    is_immutable: IsImmutable
    tally: Tally
    complain: Callable[[str], None]
    """Called with a sentence for each source that does not answer to the end."""
    goes_on: bool
    """Such a source holds up no other. Otherwise the run ends with it."""

    async def copy(self, registry: Registry) -> bool:
        """Do the jobs, and say whether all sources answered to the end. Raises `StoreError`, `StartupError`."""
        is_good = True
        for job in self.jobs:
            if not await job.is_due(registry):
                continue
            try:
                await job.run(registry, self.is_immutable, self.tally)
            except (UpstreamError, SourceGone) as error:
                self.complain(f"{job.title}: {error}")
                is_good = False
                if not self.goes_on:
                    break
        return is_good
