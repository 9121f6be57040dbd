"""Clients that read slowly, each within the rule, and hold all that pulls may use: others are served all the same."""

from __future__ import annotations

from dataclasses import replace

import h11
import trio

from tests.unit.registry.support import until
from tests.unit.web.raw import connect_narrow
from tests.unit.web.serving import REPO, SETTINGS, Replica, codes_of, push_zeros, serving
from zotpy.core.units import KIB, MIB
from zotpy.http.server.cuts import Cut
from zotpy.http.server.hypercorn_config import ServerConfig

LARGE_BYTES = 64 * MIB
"""More than all buffers on the way hold."""
STALL_S = 4.0
"""A client that reads as fast as it can never stalls for so long, also on a busy machine."""
PLACES = 2
DEADLINE_S = 120.0


async def read_slowly(replica: Replica, digest: str, *, task_status: trio.TaskStatus[None]) -> None:
    """Read 128 KiB in each stall timeout, twice what is asked of a client while nobody waits, until cut."""
    client = await connect_narrow(replica.port)
    async with client.stream:
        await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
        client.http.send(h11.EndOfMessage())
        await client.stream.receive_some(KIB)
        task_status.started()
        while True:
            await trio.sleep(STALL_S / 4)
            try:
                if not await client.stream.receive_some(32 * KIB):
                    return
            except trio.BrokenResourceError:
                return


async def occupied(replica: Replica, nursery: trio.Nursery) -> str:
    """Let slow clients take all places, without memory for ranges. Return what they pull."""
    digest = await push_zeros(replica, LARGE_BYTES)
    for _ in range(PLACES):
        await nursery.start(read_slowly, replica, digest)
    return digest


async def test_who_holds_what_others_wait_for_must_read_faster(nursery: trio.Nursery) -> None:
    """The slow clients are cut when somebody waits, and that one gets everything."""
    config = ServerConfig()
    config.send_stall_s = STALL_S
    async with serving(nursery, replace(SETTINGS, http=replace(SETTINGS.http, paced_reads=PLACES)), config) as replica:
        readers = replica.registry.blobs.readers
        config.contested_bytes = lambda: readers.contested_bytes
        async with trio.open_nursery() as slow:
            digest = await occupied(replica, slow)
            replica.client.timeout = DEADLINE_S
            answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
            assert (answer.status_code, len(answer.content)) == (200, LARGE_BYTES)
            assert (await replica.ended.receive()).cut is Cut.READS_NO_MORE
            slow.cancel_scope.cancel()


async def test_who_waits_too_long_is_told_to_try_again(nursery: trio.Nursery) -> None:
    """Before anything was sent, with a time to come back; what needs no turn is answered."""
    async with serving(nursery, replace(SETTINGS, http=replace(SETTINGS.http, paced_reads=PLACES))) as replica:
        replica.registry.budget.longest_wait_s = 0.1
        async with trio.open_nursery() as slow:
            digest = await occupied(replica, slow)
            await until(lambda: replica.registry.blobs.readers.waiting == 0)
            answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
            assert answer.status_code == 429
            assert codes_of(answer) == ["TOOMANYREQUESTS"]
            assert int(answer.headers["Retry-After"]) > 0
            assert (await replica.client.head(f"/v2/{REPO}/blobs/{digest}")).status_code == 200
            slow.cancel_scope.cancel()
