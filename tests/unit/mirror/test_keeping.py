"""A manifest of an upstream reaches its client before the bucket. Bucket and upstream are asked at the same time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
from structlog.testing import capture_logs

from tests.calls import CallLog
from tests.unit.mirror.support import (
    HERE,
    LAYER,
    LOCAL,
    NAME,
    TAG_HERE,
    TAG_THERE,
    MirrorReplica,
    give,
    image,
    manifest,
    mirrored,
    mirroring,
)
from tests.unit.mirror.test_manifests import requests
from tests.unit.registry.support import until
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.mirror import keeping
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
V1, V2 = image("one"), image("two")
REPO = RepositoryName(LOCAL)


class Gated(CallLog):
    """Carries out writes only once `writes` is set, and reads of a tag once `reads` is; at first both are.

    `part` must be in the key of such a write.
    """

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.writes, self.reads = trio.Event(), trio.Event()
        self.writes.set()
        self.reads.set()
        self.fails = False
        self.part = ""

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Wait, then carry out the call, or refuse it."""
        if operation == "put" and self.part in key:
            await self.writes.wait()
            if self.fails:
                msg = "the store is full"
                raise StoreUnavailable(msg)
        elif key.startswith("tags/"):
            await self.reads.wait()
        return await super().call(operation, key, run)


@asynccontextmanager
async def gated() -> AsyncIterator[tuple[Upstream, MirrorReplica, Gated]]:
    """Run an upstream with an image, and a replica that mirrors it."""
    async with trio.open_nursery() as nursery:
        upstream, store = Upstream(), Gated(memory := MemoryStore())
        await upstream.server.start(nursery)
        give(upstream, V1)
        async with mirroring(nursery, [mirrored(upstream.url)], memory, store) as replica:
            yield upstream, replica, store
            store.writes.set()
            store.reads.set()
        nursery.cancel_scope.cancel()


def by_digest(content: bytes) -> str:
    """Return the path of a manifest by its digest."""
    return f"/v2/{LOCAL}/manifests/{Digest.of(content)}"


async def test_a_client_gets_a_manifest_before_the_bucket() -> None:
    """Also by its digest, for which the upstream is not asked again. The tag is written a little later."""
    async with gated() as (upstream, replica, store):
        store.writes = trio.Event()
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert (await replica.client.get(by_digest(V1))).content == V1
        assert (await replica.client.head(by_digest(V1))).headers["Content-Length"] == str(len(V1))
        assert requests(upstream) == [("GET", TAG_THERE)]
        assert store.calls.of("put", "tags/") == []
        store.writes.set()
        await replica.mirror.manifests.settle(REPO, Tag("v1"))
        upstream.scripts.clear()
        assert (await replica.client.get(TAG_HERE)).content == V1


async def test_a_blob_does_not_wait_for_its_manifest() -> None:
    """The upstream is asked for a layer, and the client has all of it, before the bucket has the manifest."""
    async with gated() as (_, replica, store):
        store.part, store.writes = "/manifests/", trio.Event()
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert (await replica.client.get(HERE)).content == LAYER
        await until(lambda: not replica.mirror.blobs.under_way)
        assert store.calls.of("put", "entries/")
        assert store.calls.of("put", "tags/") == []


async def test_a_request_for_the_tag_waits_for_the_bucket() -> None:
    """So a tag that is pushed meanwhile is never answered with an older manifest."""
    ours = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    async with gated() as (_, replica, store):
        store.writes = trio.Event()
        assert (await replica.client.get(TAG_HERE)).content == V1
        pulled = list[bytes]()

        async def push_and_pull() -> None:
            assert (await replica.client.put(TAG_HERE, content=ours, headers=headers)).status_code == 201
            pulled.append((await replica.client.get(TAG_HERE)).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_and_pull)
            store.writes.set()
        assert pulled == [ours]


async def test_a_manifest_that_cannot_be_stored_is_served() -> None:
    """The log says why it is not stored, and the next client gets it from the upstream again."""
    async with gated() as (upstream, replica, store):
        store.fails = True
        with capture_logs() as logs:
            for _ in range(2):
                assert (await replica.client.get(TAG_HERE)).content == V1
                await replica.mirror.manifests.settle(REPO, Tag("v1"))
        assert requests(upstream) == [("GET", TAG_THERE)] * 2
        assert [line["reason"] for line in logs if line["event"] == "manifest_not_mirrored"] == [
            "the store is full"
        ] * 2


async def test_clients_wait_for_the_bucket_if_too_many_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replica holds in memory beside its requests is bounded."""
    monkeypatch.setattr(keeping, "MOST", 1)
    async with gated() as (upstream, replica, store):
        give(upstream, V2, "v2")
        store.writes = trio.Event()
        assert (await replica.client.get(TAG_HERE)).content == V1
        pulled = list[bytes]()

        async def pull() -> None:
            pulled.append((await replica.client.get(TAG_HERE.replace("v1", "v2"))).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            await until(lambda: any(each.target.endswith("v2") for each in upstream.seen))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert pulled == []
            store.writes.set()
        assert pulled == [V2]


async def test_a_mirrored_tag_is_asked_for_while_it_is_read() -> None:
    """The second pull learns that the tag is mirrored. The third one asks before the bucket has answered."""
    async with gated() as (upstream, replica, store):
        for _ in range(2):
            assert (await replica.client.get(TAG_HERE)).content == V1
            await replica.mirror.manifests.settle(REPO, Tag("v1"))
        assert requests(upstream) == [("GET", TAG_THERE), ("HEAD", TAG_THERE)]
        store.reads = trio.Event()
        pulled = list[bytes]()

        async def pull() -> None:
            pulled.append((await replica.client.get(TAG_HERE)).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            await until(lambda: bool(upstream.seen))
            assert pulled == []
            store.reads.set()
        assert pulled == [V1]
        assert requests(upstream) == [("HEAD", TAG_THERE)]


async def test_an_answer_that_may_be_older_than_the_tag_is_asked_for_again() -> None:
    """The tag was moved after the upstream had answered: what it said before does not move the tag back."""
    async with gated() as (upstream, replica, _):
        await replica.client.get(TAG_HERE)
        give(upstream, V2)
        assert (await replica.client.get(TAG_HERE)).content == V2
        await replica.mirror.manifests.settle(REPO, Tag("v1"))
        upstream.scripts[TAG_THERE] = [replace(manifest(V1), body=b""), replace(manifest(V2), body=b"")]
        upstream.seen.clear()
        answer = await replica.client.get(TAG_HERE)
        assert (answer.content, answer.headers.get("Warning")) == (V2, None)
        assert requests(upstream) == [("HEAD", TAG_THERE)] * 2


@pytest.mark.parametrize("trouble", [Reply(503), Reply(404)])
async def test_an_upstream_that_fails_meanwhile_is_asked_once(trouble: Reply) -> None:
    """What is here is served with a warning."""
    async with gated() as (upstream, replica, _):
        for _ in range(2):
            await replica.client.get(TAG_HERE)
            await replica.mirror.manifests.settle(REPO, Tag("v1"))
        upstream.seen.clear()
        upstream.scripts[TAG_THERE] = [trouble]
        answer = await replica.client.get(TAG_HERE)
        assert (answer.content, answer.headers["Warning"][:2]) == (V1, "11")
        assert requests(upstream) == [("HEAD", TAG_THERE)]


async def test_a_tag_that_is_pushed_over_a_mirrored_one_is_ours() -> None:
    """A replica that took it for a mirrored one notices that at its next read, and then asks nobody."""
    ours = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    async with gated() as (upstream, replica, _):
        for _ in range(2):
            await replica.client.get(TAG_HERE)
            await replica.mirror.manifests.settle(REPO, Tag("v1"))
        assert (await replica.client.put(TAG_HERE, content=ours, headers=headers)).status_code == 201
        assert (await replica.client.get(TAG_HERE)).content == ours
        upstream.seen.clear()
        assert (await replica.client.get(TAG_HERE)).content == ours
        assert requests(upstream) == []


async def test_a_list_of_referrers_waits_for_those_that_are_fetched() -> None:
    """They are in the list that made them come."""
    subject = Digest.of(V1)
    referrer = V1.replace(
        b'"schemaVersion": 2',
        b'"schemaVersion": 2, "artifactType": "application/z", "subject": '
        + (
            f'{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "{subject}", "size": {len(V1)}}}'
        ).encode(),
    )
    descriptor = (
        f'{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "{Digest.of(referrer)}", "size": 9}}'
    )
    listed = (
        f'{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{descriptor}]}}'
    )
    async with gated() as (upstream, replica, _):
        kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        upstream.scripts[f"/v2/{NAME}/referrers/{subject}"] = [Reply(200, listed.encode(), kind)]
        upstream.scripts[f"/v2/{NAME}/manifests/{Digest.of(referrer)}"] = [manifest(referrer)]
        await replica.client.get(TAG_HERE)
        answer = (await replica.client.get(f"/v2/{LOCAL}/referrers/{subject}")).json()
        assert [each["digest"] for each in answer["manifests"]] == [str(Digest.of(referrer))]
