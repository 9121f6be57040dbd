"""First pulls in which something fails, and what their client may be told then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import trio
from structlog.testing import capture_logs

from tests.unit.mirror.support import CONFIG, LAYER, LAYER_DIGEST, LOCAL, give, image, mirrored, mirroring
from tests.unit.registry.support import Clock, until
from tests.unit.upstream.upstreams import Upstream
from tests.unit.web.serving import codes_of
from zotpy.core.digests import Digest
from zotpy.mirror.turns import SILENT_S
from zotpy.store.faulty import FaultyStore
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.mirror.support import MirrorReplica
    from zotpy.store.faulty import Moment

V1 = image()
CONFIG_DIGEST = Digest.of(CONFIG)
PULLED = {
    f"/v2/{LOCAL}/manifests/v1": V1,
    f"/v2/{LOCAL}/blobs/{CONFIG_DIGEST}": CONFIG,
    f"/v2/{LOCAL}/blobs/{LAYER_DIGEST}": LAYER,
}
GOOD = [200] * len(PULLED)
ANSWERS = {200, 404, 413, 429, 502, 503}


@dataclass(slots=True)
class Failing:
    """Lets one step of a pull fail, counted from 0, or that one and all that follow."""

    error: Exception
    at: int
    lasts: bool = False
    moment: Moment = "before"
    steps: int = field(default=0, init=False)
    is_on: bool = field(default=False, init=False)

    @property
    def has_failed(self) -> bool:
        """Whether a step failed."""
        return self.steps > self.at

    def step(self) -> None:
        """Count a step. Raises the error if it is the one."""
        if self.is_on:
            self.steps += 1
            if self.steps - 1 == self.at or (self.lasts and self.has_failed):
                raise type(self.error)(*self.error.args)

    async def __call__(self, moment: Moment, operation: str, key: str) -> None:
        """Count a call to the store; see `Faults`."""
        del operation, key
        if moment == self.moment:
            self.step()


async def pull(replica: MirrorReplica) -> list[int]:
    """Pull an image, and return the status of each answer.

    Each is the right content, an error as the specification has it, or breaks off after its head.
    """
    statuses = []
    for path, content in PULLED.items():
        async with replica.client.stream("GET", path) as answer:
            try:
                body = await answer.aread()
            except httpx.RemoteProtocolError:
                assert answer.status_code == 200
            else:
                assert answer.status_code != 200 or body == content
                if answer.status_code != 200:
                    assert codes_of(answer)
        statuses.append(answer.status_code)
    return statuses


async def pulled_until_settled(replica: MirrorReplica) -> list[int]:
    """Pull an image as `pull` does, wait until nothing is under way, and see that no step has failed unforeseen."""
    with capture_logs() as logs:
        statuses = await pull(replica)
        await until(lambda: not replica.mirror.tasks._count)
    assert ANSWERS.issuperset(statuses), statuses
    assert "internal_error" not in [line["event"] for line in logs], logs
    return statuses


async def pulled(upstream: Upstream, failing: Failing, *, is_store: bool) -> None:
    """Pull through a replica of which something fails, and then through another one, of which nothing does."""
    async with trio.open_nursery() as nursery:
        memory = MemoryStore(clock := Clock())
        registries = [mirrored(upstream.url, check_interval_s=60.0)]
        store = FaultyStore(memory, failing) if is_store else None
        async with mirroring(nursery, registries, memory, store) as one:
            failing.is_on = True
            await pulled_until_settled(one)
            failing.is_on = False
            clock.advance(SILENT_S + 1)  # its turn may be left
            async with mirroring(nursery, registries, memory) as other:
                assert await pulled_until_settled(other) == GOOD
        nursery.cancel_scope.cancel()


async def sweep(fail: Callable[[int], Failing], *, is_store: bool = False) -> int:
    """Let each step of a pull fail in turn, and return how many there are."""
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        give(upstream, V1)
        at = 0
        while True:
            failing = fail(at)
            await pulled(upstream, failing, is_store=is_store)
            if not failing.has_failed:
                break
            at += 1
        nursery.cancel_scope.cancel()
    return at
