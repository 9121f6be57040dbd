"""How many store calls each request costs: the table of the design, counted on two stores."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from tests.calls import CallLog
from tests.servers import Bucket
from tests.unit.registry.support import older_bucket
from zotpy.bucket.health import Health
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings
from zotpy.store.memory_store import MemoryStore
from zotpy.store.opening import open_s3_store
from zotpy.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zotpy.s3.config import S3Config
    from zotpy.store.interface import Store

PART_BYTES = Settings().upload.part_size_bytes
READ_BYTES = 256 * 1024
SMALL = b"s" * 2048
REPO = "team/app"


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica over a counted store, and a client of it."""

    log: CallLog
    client: httpx.AsyncClient
    large_bytes: int

    async def begin(self) -> str:
        """Begin an upload and return its Location."""
        answer = await self.client.post(f"/v2/{REPO}/blobs/uploads/")
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    async def finish(self, location: str, digest: str, body: bytes) -> None:
        """Send the last bytes of an upload."""
        headers = {"Content-Length": str(len(body))}
        answer = await self.client.put(
            location, params=_with(location, digest=digest), content=_reads(body), headers=headers
        )
        assert answer.status_code == 201, answer.text

    async def push_blob(self, body: bytes) -> str:
        """Push a blob with POST and PUT, and return its digest."""
        digest = _digest(body)
        await self.finish(await self.begin(), digest, body)
        return digest

    async def push_image(self, reference: str, blobs: list[tuple[str, int]], *tags: str, note: str = "") -> str:
        """Push a manifest of a config and layers, and return its digest."""
        content = _image(blobs, note)
        url = f"/v2/{REPO}/manifests/{reference or _digest(content)}"
        answer = await self.client.put(
            url, params=[("tag", tag) for tag in tags], content=content, headers={"Content-Type": OCI_IMAGE}
        )
        assert answer.status_code == 201, answer.text
        return _digest(content)


@asynccontextmanager
async def serve(store: Store, large_bytes: int) -> AsyncIterator[Replica]:
    """Serve a store's registry to a client in this process."""
    log = CallLog(store)
    settings = Settings()
    registry = await open_registry(log, settings, MemoryBudget(64 * MIB, PART_BYTES + MIB))
    app = create_app(registry, Health(log), lambda: b"")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://replica") as client:
        yield Replica(log, client, large_bytes)


@pytest.fixture(params=["memory", "seaweed"])
def store_config(request: pytest.FixtureRequest) -> S3Config | None:
    """Return how to reach each store in turn; `None` is the one in memory.

    Stores that can do the same are asked the same: a third one would count what the second has counted.
    """
    if request.param == "memory":
        return None
    # On SeaweedFS each bucket takes volumes of its own, of which there are not many: a prefix for each test will do.
    return cast(Bucket, request.getfixturevalue("bucket")).config()


@pytest.fixture
async def replica(store_config: S3Config | None, prefix: str) -> AsyncIterator[Replica]:
    """Return a replica on each store in turn."""
    if store_config is None:
        async with serve(MemoryStore(), 100 * MIB) as served:
            yield served
    else:
        async with (
            open_s3_store(store_config, prefix, create_bucket=True) as store,
            serve(store, 24 * MIB) as served,
        ):
            yield served


async def test_a_small_blob_costs_one_call(replica: Replica) -> None:
    """A blob of 2 KB sent with POST and PUT costs an entry."""
    with replica.log.counted() as calls:
        await replica.push_blob(SMALL)
    assert [call.operation for call in calls.made] == ["put"], str(calls)


async def test_a_small_blob_costs_two_calls_in_a_bucket_of_an_older_release() -> None:
    """There its entry needs a lease."""
    store = MemoryStore()
    await older_bucket(store)
    async with serve(store, 0) as replica:
        with replica.log.counted() as calls:
            await replica.push_blob(SMALL)
    assert (len(calls), calls.depth) == (2, 2), str(calls)


async def test_a_small_blob_that_exists_costs_two_calls(replica: Replica) -> None:
    """A client that did not ask for it first: the entry cannot be created, and is read."""
    await replica.push_blob(SMALL)
    with replica.log.counted() as calls:
        await replica.push_blob(SMALL)
    assert [call.operation for call in calls.made] == ["put", "get"], str(calls)


async def test_a_small_blob_in_one_request_costs_one_call(replica: Replica) -> None:
    """A blob of 2 KB sent with the POST itself costs an entry."""
    digest = _digest(SMALL)
    with replica.log.counted() as calls:
        url = f"/v2/{REPO}/blobs/uploads/"
        answer = await replica.client.post(url, params={"digest": digest}, content=SMALL)
        assert answer.status_code == 201, answer.text
    assert len(calls) == 1, str(calls)


async def test_a_small_blob_in_a_chunk_costs_three_calls(replica: Replica) -> None:
    """A blob of 2 KB sent with POST, PATCH and PUT costs two calls for its state besides the entry.

    The replica remembers what it has just written. Nothing here deletes states together
    (`tests/unit/registry/pushing/test_leftovers.py`), which takes the third call away. A replica that has not seen the
    chunk reads the state back first.
    """
    with replica.log.counted() as calls:
        answer = await replica.client.patch(await replica.begin(), content=SMALL)
        assert answer.status_code == 202, answer.text
        await replica.finish(answer.headers["Location"], _digest(SMALL), b"")
    assert len(calls) == 3, str(calls)
    assert calls.depth == 3, str(calls)


async def test_a_blob_of_one_part_costs_five_calls(replica: Replica) -> None:
    """A blob of 1 MiB sent with POST and PUT: data and hints at once, the lease, then entry and hint at once."""
    with replica.log.counted() as calls:
        await replica.push_blob(bytes(1 * MIB))
    assert len(calls) == 5, str(calls)
    assert calls.depth == 3, str(calls)


async def test_a_blob_of_one_part_in_a_chunk_costs_eight_calls(replica: Replica) -> None:
    """A blob of 1 MiB sent with POST, PATCH and PUT: its bytes are written once, as data, and none is read.

    One after another are the data and the state, then the state back, the lease, the entry; the rest is beside them.
    """
    body = bytes(range(256)) * 4096
    with replica.log.counted() as calls:
        answer = await replica.client.patch(await replica.begin(), content=_reads(body))
        assert answer.status_code == 202, answer.text
        await replica.finish(answer.headers["Location"], _digest(body), b"")
    assert len(calls) == 8, str(calls)
    assert calls.depth == 5, str(calls)
    assert len(calls.of("put", "data/")) == 1, str(calls)
    assert calls.of("open") == []
    got = await replica.client.get(f"/v2/{REPO}/blobs/{_digest(body)}")
    assert got.content == body


async def test_a_large_blob_costs_six_calls_besides_its_parts(replica: Replica) -> None:
    """A large blob is neither copied nor read back: its parts, the two ends of the multipart, and four small calls."""
    body = bytes(replica.large_bytes)
    with replica.log.counted() as calls:
        await replica.push_blob(body)
    parts = math.ceil(replica.large_bytes / PART_BYTES)
    assert len(calls.of("put_part")) == parts, str(calls)
    assert len(calls) == parts + 6, str(calls)
    assert calls.of("open") == []


async def test_a_large_blob_in_a_chunk_costs_eight_calls_besides_its_parts(replica: Replica) -> None:
    """With POST, PATCH and PUT it costs two more for its state; the PUT sends no part and reads nothing back."""
    body = b"large" * (replica.large_bytes // 5)
    parts = math.ceil(len(body) / PART_BYTES)
    with replica.log.counted() as calls:
        answer = await replica.client.patch(await replica.begin(), content=_reads(body))
        assert answer.status_code == 202, answer.text
        assert len(calls.of("put_part")) == parts
        with replica.log.counted() as last:
            await replica.finish(answer.headers["Location"], _digest(body), b"")
    assert len(calls) == parts + 8, str(calls)
    assert (len(last), last.depth) == (6, 4), str(last)


async def test_a_manifest_of_five_layers_costs_at_most_twelve_calls(replica: Replica) -> None:
    """A manifest of five layers costs at most twelve calls, at most four of them one after another."""
    blobs = [(await replica.push_blob(b"layer %d" % index), 7) for index in range(6)]
    with replica.log.counted() as calls:
        await replica.push_image("latest", blobs)
    assert len(calls) <= 12, str(calls)
    assert calls.depth <= 4, str(calls)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_is_read_with_one_call(replica: Replica, method: str) -> None:
    """A manifest is read with one call, by tag and by digest."""
    config = (await replica.push_blob(SMALL), len(SMALL))
    digest = await replica.push_image("latest", [config])
    for reference in ("latest", digest):
        with replica.log.counted() as calls:
            answer = await replica.client.request(method, f"/v2/{REPO}/manifests/{reference}")
        assert answer.status_code == 200
        assert len(calls) == 1, str(calls)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_small_blob_is_read_with_one_call(replica: Replica, method: str) -> None:
    """A small blob lives in its entry, which one call reads."""
    digest = await replica.push_blob(SMALL)
    with replica.log.counted() as calls:
        answer = await replica.client.request(method, f"/v2/{REPO}/blobs/{digest}")
    assert answer.status_code == 200
    assert len(calls) == 1, str(calls)


async def test_a_blob_that_is_not_there_is_asked_for_with_one_call(replica: Replica) -> None:
    """Before a push clients ask for each blob; without conditional deletes leases are listed, too."""
    with replica.log.counted() as calls:
        answer = await replica.client.head(f"/v2/{REPO}/blobs/{_digest(SMALL)}")
    assert answer.status_code == 404
    assert len(calls) == (1 if replica.log.features.conditional_delete else 2), str(calls)


@pytest.mark.parametrize(("method", "expected"), [("HEAD", 1), ("GET", 2)])
async def test_a_large_blob_is_read_with_two_calls(replica: Replica, method: str, expected: int) -> None:
    """A large blob costs its entry and its data; a HEAD needs no data."""
    body = bytes(range(256)) * 4096
    digest = await replica.push_blob(body)
    with replica.log.counted() as calls:
        answer = await replica.client.request(method, f"/v2/{REPO}/blobs/{digest}")
    assert answer.status_code == 200
    assert answer.content == (body if method == "GET" else b"")
    assert len(calls) == expected, str(calls)


async def test_a_delete_costs_what_its_own_tags_need(replica: Replica) -> None:
    """A manifest's DELETE costs two calls a tag and a few more, whatever else the repository holds."""
    config = (await replica.push_blob(SMALL), len(SMALL))

    async def cost_of_deleting(note: str, tag_count: int) -> int:
        tags = [f"{note}-{number}" for number in range(tag_count)]
        digest = await replica.push_image("", [config], *tags, note=note)
        with replica.log.counted() as calls:
            answer = await replica.client.delete(f"/v2/{REPO}/manifests/{digest}")
        assert answer.status_code == 202, answer.text
        assert len(calls) <= 2 * tag_count + 8, str(calls)
        return len(calls)

    alone = await cost_of_deleting("alone", 20)
    few = await cost_of_deleting("few", 10)
    assert alone - few == 2 * 10
    for number in range(20):
        tags = [f"other-{number}-{place}" for place in range(3)]
        await replica.push_image("", [config], *tags, note=f"other {number}")
    assert await cost_of_deleting("crowded", 20) == alone


async def test_an_upload_that_is_only_begun_costs_nothing(replica: Replica) -> None:
    """A POST answers from memory."""
    with replica.log.counted() as calls:
        await replica.begin()
    assert len(calls) == 0, str(calls)


async def test_a_mount_costs_three_calls(replica: Replica) -> None:
    """A mount reads the other repository's entry, and writes a lease and an entry."""
    digest = await replica.push_blob(bytes(1 * MIB))
    with replica.log.counted() as calls:
        answer = await replica.client.post("/v2/other/blobs/uploads/", params={"mount": digest, "from": REPO})
    assert answer.status_code == 201, answer.text
    assert len(calls) == 3, str(calls)


async def test_a_mount_of_a_small_blob_costs_two_calls(replica: Replica) -> None:
    """It reads the other repository's entry, and writes an entry."""
    digest = await replica.push_blob(SMALL)
    with replica.log.counted() as calls:
        answer = await replica.client.post("/v2/other/blobs/uploads/", params={"mount": digest, "from": REPO})
    assert answer.status_code == 201, answer.text
    assert len(calls) == 2, str(calls)


async def _reads(body: bytes) -> AsyncIterator[bytes]:
    """Cut a body as a server's reads would."""
    view = memoryview(body)
    for start in range(0, len(body), READ_BYTES):
        yield bytes(view[start : start + READ_BYTES])


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _with(location: str, **parameters: str) -> dict[str, str]:
    return dict(httpx.URL(location).params) | parameters


def _image(blobs: list[tuple[str, int]], note: str) -> bytes:
    """Write an image manifest whose config is the first blob."""
    descriptors = [{"mediaType": "application/octet-stream", "digest": digest, "size": size} for digest, size in blobs]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptors[0],
        "layers": descriptors[1:],
        "annotations": {"note": note},
    }
    return json.dumps(document).encode()
