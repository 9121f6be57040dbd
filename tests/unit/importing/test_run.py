from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import open_replica
from zotpy.importing.importer import SourceGone
from zotpy.importing.run import Run
from zotpy.importing.tally import Tally
from zotpy.store.memory_store import MemoryStore
from zotpy.upstream import UpstreamRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zotpy.importing.copying import IsImmutable
    from zotpy.registry.registry import Registry


@dataclass
class Copied:
    """A job that counts as one repository, or fails."""

    title: str
    error: Exception | None = None
    due: bool = True

    async def is_due(self, registry: Registry, /) -> bool:
        """Say what the test wants."""
        del registry
        return self.due

    async def run(self, registry: Registry, is_immutable: IsImmutable, tally: Tally, /) -> None:
        """Copy nothing."""
        del registry, is_immutable
        if self.error is not None:
            raise self.error
        tally.repositories += 1


FAILING = [
    Copied("old.example", SourceGone("no answer")),
    Copied("b.example"),
    Copied("strict.example", UpstreamRefused("log in")),
    Copied("d.example"),
]


async def run(jobs: Sequence[Copied], *, goes_on: bool) -> tuple[bool, int, list[str]]:
    """Return whether all sources answered, how many were copied, and what was said."""
    said, tally = list[str](), Tally()
    copies = Run(jobs, lambda _, __: False, tally, said.append, goes_on)
    is_good = await copies.copy(await open_replica(MemoryStore()))
    return is_good, tally.repositories, said


@pytest.mark.parametrize(
    ("goes_on", "copied", "said"),
    [
        (True, 2, ["old.example: no answer", "strict.example: log in"]),
        (False, 0, ["old.example: no answer"]),
    ],
)
async def test_a_source_that_fails_holds_up_the_others_only_in_an_import(
    goes_on: bool,  # noqa: FBT001 - a parameter of the test
    copied: int,
    said: list[str],
) -> None:
    """Either way the run says which source it was, and that not all is here."""
    assert await run(FAILING, goes_on=goes_on) == (False, copied, said)


async def test_a_run_copies_what_is_due() -> None:
    """What is not due is no failure."""
    jobs = [Copied("a.example"), Copied("b.example", due=False), Copied("c.example")]
    assert await run(jobs, goes_on=True) == (True, 2, [])
