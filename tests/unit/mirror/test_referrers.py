"""The list of referrers does not wait for ever for an upstream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from tests.unit.mirror.support import LOCAL, mirrored
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.mirror.checks import Checks
from zotpy.mirror.flights import Flights, Tasks
from zotpy.mirror.referrers import LONGEST_S, MirroredReferrers
from zotpy.mirror.rules import origins
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from trio.testing import MockClock


async def never(*_: object) -> object:
    """Answer nothing."""
    return await trio.sleep_forever()


async def test_a_slow_upstream_is_given_up(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Each single answer may come in time, and all together last for hours: the list shows what is here."""
    del autojump_clock
    tasks, upstreams, manifests = Tasks(), SimpleNamespace(first=never), SimpleNamespace()
    nursery.start_soon(tasks.run)
    await trio.testing.wait_all_tasks_blocked()
    lists: Any = MirroredReferrers
    referrers = lists(manifests, upstreams, Checks(MemoryStore()), Flights[None](tasks))
    repo = RepositoryName.parse(LOCAL)
    began = trio.current_time()
    await referrers.fetch(tuple(origins((mirrored("http://upstream"),), repo)), repo, Digest.of(b""))
    assert trio.current_time() - began == LONGEST_S
