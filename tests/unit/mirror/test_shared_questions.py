"""What several replicas of a mirror ask its upstream together, and what their operators see of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
import trio.testing

from tests.unit.mirror.support import (
    HERE,
    LAYER,
    LAYER_PATH,
    NAME,
    TAG_HERE,
    TAG_THERE,
    give,
    image,
    manifest,
    mirrored,
    mirroring,
)
from tests.unit.mirror.test_manifests import requests
from tests.unit.registry.support import Clock
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream, ranged
from zotpy.store.memory_store import MemoryStore
from zotpy.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from tests.unit.mirror.support import MirrorReplica

V1, V2 = image("one"), image("two")
INTERVAL_S = 60.0


async def pulled(replica: MirrorReplica) -> bytes:
    """Pull the tag twice: the second answer waits until the first one is in the bucket."""
    return [(await replica.client.get(TAG_HERE)).content for _ in range(2)][-1]


async def test_all_replicas_ask_for_a_tag_once_in_an_interval(nursery: trio.Nursery) -> None:
    """Whichever of them asked, by the clock of the store."""
    upstream, clock = Upstream(), Clock()
    await upstream.server.start(nursery)
    memory, registries = MemoryStore(clock), [mirrored(upstream.url, check_interval_s=INTERVAL_S)]
    async with mirroring(nursery, registries, memory) as one, mirroring(nursery, registries, memory) as two:
        give(upstream, V1)
        assert [await pulled(replica) for replica in (one, two)] == [V1, V1]
        second = give(upstream, V2)
        clock.advance(INTERVAL_S - 1)
        assert [await pulled(replica) for replica in (two, one)] == [V1, V1]
        assert requests(upstream) == [("GET", TAG_THERE)]
        clock.advance(2)
        assert [await pulled(replica) for replica in (two, one)] == [V2, V2]
        assert requests(upstream) == [("HEAD", TAG_THERE), ("GET", f"/v2/{NAME}/manifests/{second}")]


async def test_the_metrics_say_what_questions_led_to(nursery: trio.Nursery) -> None:
    """Also that something old was served, and how many requests the upstream still answers."""
    upstream, metrics = Upstream(), Metrics()
    await upstream.server.start(nursery)
    async with mirroring(nursery, [mirrored(upstream.url)], events=metrics.mirror) as replica:
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        await replica.client.get(TAG_HERE)
        limited = manifest(V1)
        upstream.scripts[TAG_THERE] = [Reply(200, V1, {**limited.headers, "ratelimit-remaining": "76;w=21600"})]
        await replica.client.get(TAG_HERE)
        upstream.scripts[TAG_THERE] = [Reply(429)]
        assert "Warning" in (await replica.client.get(TAG_HERE)).headers
        await replica.client.get(TAG_HERE.replace("v1", "v2"))
        nursery.start_soon(replica.mirror.keep_counting)
        await trio.testing.wait_all_tasks_blocked()
    shown = metrics.render().decode().splitlines()
    host = upstream.url.removeprefix("http://")
    assert f'zotpy_mirror_remaining_requests{{host="{host}"}} 76.0' in shown
    for outcome, count in {"changed": 1, "unchanged": 2, "stale": 1}.items():
        assert f'zotpy_mirror_checks_total{{outcome="{outcome}"}} {count}.0' in shown


async def test_a_blob_of_an_upstream_that_leads_to_a_store(nursery: trio.Nursery) -> None:
    """As Docker Hub and cloud registries do. If the store breaks off, the upstream is asked where the rest is."""
    upstream, store = Upstream(), Upstream()
    for each in (upstream, store):
        await each.server.start(nursery)
    give(upstream, V1)
    upstream.scripts[LAYER_PATH] = [
        Reply(307, headers={"Location": f"{store.url}/bytes?signature={number}"}) for number in range(2)
    ]
    cut = len(LAYER) // 2
    store.scripts["/bytes"] = [partial(ranged, content=LAYER, cut_to=cut), partial(ranged, content=LAYER)]
    async with mirroring(nursery, [mirrored(upstream.url, max_retries=1)]) as replica:
        assert (await replica.client.get(HERE)).content == LAYER
    assert [seen.target for seen in store.seen] == ["/bytes?signature=0", "/bytes?signature=1"]
    assert store.seen[1].headers["range"] == f"bytes={cut}-"
