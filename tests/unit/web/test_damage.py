"""Blobs whose data the store has lost: 404, so that a push brings them back. No push relies on lost data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.unit.registry.support import (
    BUDGET_BYTES,
    OTHER,
    PART_BYTES,
    REPO,
    content,
    keys_below,
    open_replica,
    pull,
    push,
)
from tests.unit.registry.test_manifests import CONFIG, image
from tests.unit.web.serving import codes_of, serving
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag
from zotpy.core.ranges import Span
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore
from zotpy.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from tests.unit.web.serving import Replica

BODY = content(PART_BYTES - 1000)
DIGEST = Digest.of(BODY)
URL = f"/v2/{REPO}/blobs/{DIGEST}"


@pytest.fixture
async def replica(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a served replica with a large blob, a config, and an image of both."""
    async with serving(nursery) as served:
        for body in (BODY, CONFIG):
            await push(served.registry, body)
        await served.registry.manifests.push(REPO, Tag("v1"), image(DIGEST), OCI_IMAGE)
        yield served


async def lose(replica: Replica, *, cut: bool = False) -> None:
    """Lose the blob's data, or its end."""
    [key] = keys_below(replica.store, keys.DATA)
    await replica.store.put(key, BODY[:-1]) if cut else await replica.store.delete(key)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=-100"}])
async def test_a_get_that_finds_data_lost_is_404_and_a_push_heals_it(
    replica: Replica, headers: dict[str, str], *, cut: bool
) -> None:
    """GET says what to do, in the log stands what was damaged; HEAD is 404 from then on, until the blob is pushed."""
    await lose(replica, cut=cut)
    with capture_logs() as logs:
        answer = await replica.client.get(URL, headers=headers)
    assert answer.status_code == 404
    [error] = answer.json()["errors"]
    assert error["code"] == "BLOB_UNKNOWN"
    assert "push the blob again" in error["message"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["damaged_blob"]
    assert (await replica.client.head(URL)).status_code == 404
    refused = await replica.client.put(
        f"/v2/{REPO}/manifests/v2", content=image(DIGEST, note="new"), headers={"Content-Type": OCI_IMAGE}
    )
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert keys_below(replica.store, keys.HINTS) == []
    await push(replica.registry, BODY)
    assert (await replica.client.head(URL)).status_code == 200
    assert (await replica.client.get(URL)).content == BODY


async def test_a_store_that_fails_for_a_moment_is_no_damage(replica: Replica) -> None:
    """The data is there: the client is told to try again, and nothing is changed."""
    before = dict(replica.store.objects)
    replica.script.fail("before", "open", keys.DATA, StoreUnavailable("slow down"))
    assert (await replica.client.get(URL)).status_code == 429
    assert replica.store.objects == before
    assert (await replica.client.get(URL)).content == BODY


async def test_a_lost_blob_can_be_deleted(replica: Replica) -> None:
    """DELETE is 202, once."""
    await lose(replica)
    assert (await replica.client.get(URL)).status_code == 404
    assert (await replica.client.delete(URL)).status_code == 202
    assert (await replica.client.delete(URL)).status_code == 404


@pytest.mark.parametrize("cut", [False, True])
async def test_a_push_does_not_trust_a_hint_to_lost_data(replica: Replica, *, cut: bool) -> None:
    """Nobody has found the loss yet: a push to another repository stores its own bytes, and drops the hint."""
    await lose(replica, cut=cut)
    await push(replica.registry, BODY, OTHER)
    assert await pull(replica.registry, DIGEST, OTHER) == BODY
    assert len(keys_below(replica.store, keys.HINTS)) == 1


async def test_a_mount_does_not_trust_a_hint_to_lost_data() -> None:
    """A mount without a source that finds only lost data begins an upload."""
    store = MemoryStore()
    registry = await open_replica(store)
    await store.put(keys.Hint("0" * 32, len(BODY)).key(DIGEST), b"")
    assert await registry.mounts.mount(REPO, DIGEST, None) is None
    assert keys_below(store, keys.HINTS) == []


async def test_damage_is_counted() -> None:
    """Once for each blob: afterwards it is one that is not there."""
    store, metrics = MemoryStore(), Metrics()
    settings = Settings(upload=UploadSettings(part_size_bytes=PART_BYTES))
    registry = await open_registry(
        store, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES), on_damage=metrics.store.on_damage
    )
    await push(registry, BODY)
    value = await registry.blobs.find(REPO, DIGEST)
    await store.delete(keys_below(store, keys.DATA)[0])
    for _ in range(2):
        with pytest.raises(BlobUnknown):
            async with registry.blobs.serve(REPO, DIGEST, value, Span(0, value.size_bytes)) as chunks:
                await anext(chunks)
    assert b"zotpy_blobs_damaged_total 1.0\n" in metrics.render()


def damage(store: MemoryStore, key: str) -> None:
    """Change the last byte of an object, as a bad disk does."""
    found = store.objects[key]
    store.objects[key] = replace(found, body=found.body[:-1] + bytes([found.body[-1] ^ 1]))


async def test_a_small_blob_whose_record_is_damaged_is_none_until_it_is_pushed(replica: Replica) -> None:
    """GET, HEAD and a mount find no blob; a push writes its bytes anew, and all of them find it."""
    url = f"/v2/{REPO}/blobs/{Digest.of(CONFIG)}"
    mount = f"/v2/{OTHER}/blobs/uploads/?mount={Digest.of(CONFIG)}&from={REPO}"
    [key] = [key for key in keys_below(replica.store, keys.ENTRIES) if str(Digest.of(CONFIG).hex) in key]
    damage(replica.store, key)
    with capture_logs() as logs:
        answer = await replica.client.get(url)
    assert (answer.status_code, codes_of(answer)) == (404, ["BLOB_UNKNOWN"])
    assert answer.json()["errors"][0]["detail"]["reason"] == "damaged"
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["damaged_blob"]
    assert (await replica.client.head(url)).status_code == 404
    assert (await replica.client.post(mount)).status_code == 202
    await push(replica.registry, CONFIG)
    assert (await replica.client.get(url)).content == CONFIG
    assert (await replica.client.head(url)).status_code == 200
    assert (await replica.client.post(mount)).status_code == 201


async def test_a_tag_whose_copy_of_the_manifest_is_damaged_serves_that_of_the_record(replica: Replica) -> None:
    """The manifest is in two places; what is right in one of them is served by tag, too."""
    content = image(DIGEST)
    for key in keys_below(replica.store, keys.TAGS):
        damage(replica.store, key)
    assert (await replica.client.get(f"/v2/{REPO}/manifests/v1")).content == content
    assert (await replica.client.head(f"/v2/{REPO}/manifests/v1")).status_code == 200


async def test_a_manifest_that_is_damaged_everywhere_is_none_until_it_is_pushed(replica: Replica) -> None:
    """404 says so, by tag and by digest, for GET and HEAD; a push brings it back."""
    content = image(DIGEST)
    digest = Digest.of(content)
    places = [key for key in keys_below(replica.store, keys.ENTRIES) if digest.hex in key]
    for key in [*keys_below(replica.store, keys.TAGS), *places]:
        damage(replica.store, key)
    for reference in ("v1", str(digest)):
        with capture_logs() as logs:
            answer = await replica.client.get(f"/v2/{REPO}/manifests/{reference}")
        assert (answer.status_code, codes_of(answer)) == (404, ["MANIFEST_UNKNOWN"])
        assert "push it again" in answer.json()["errors"][0]["message"]
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["damaged_manifest"]
        assert (await replica.client.head(f"/v2/{REPO}/manifests/{reference}")).status_code == 404
    await replica.registry.manifests.push(REPO, Tag("v1"), content, OCI_IMAGE)
    for reference in ("v1", str(digest)):
        assert (await replica.client.get(f"/v2/{REPO}/manifests/{reference}")).content == content
