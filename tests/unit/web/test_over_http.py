"""The API over real HTTP: every failure is the spec's envelope, every answer has the spec's headers."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from zotpy.bucket.health import Health
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.serving import serve
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import ManifestSettings, Settings, UploadSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

D = "sha256:" + "0" * 64
UPLOADS = "/v2/r/blobs/uploads/"
JSON = {"Content-Type": OCI_IMAGE}


@pytest.fixture
async def client(nursery: trio.Nursery) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a replica that listens on this machine."""
    store = MemoryStore()
    settings = Settings(
        upload=UploadSettings(part_size_bytes=5 * MIB),
        manifest=ManifestSettings(max_size_bytes=MIB // 4),
    )
    registry = await open_registry(store, settings, MemoryBudget(32 * MIB, 6 * MIB))
    app = create_app(registry, Health(store), lambda: b"")
    config = ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    stop = trio.Event()
    binds = await nursery.start(partial(serve, app, config, stop=stop))
    async with httpx.AsyncClient(base_url=binds[0]) as opened:
        yield opened
    stop.set()


def digest_of(content: bytes) -> str:
    """Name content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def push_blob(client: httpx.AsyncClient, content: bytes) -> str:
    """Push a blob and return its digest."""
    answer = await client.post(UPLOADS, params={"digest": digest_of(content)}, content=content)
    assert answer.status_code == 201
    return digest_of(content)


async def push_image(client: httpx.AsyncClient, reference: str, subject: str | None = None, note: str = "") -> str:
    """Push an image of one blob and return its digest."""
    config = await push_blob(client, b"{}")
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": {"mediaType": "application/x", "digest": config, "size": 2},
        "layers": [],
        "annotations": {"note": note},
    }
    if subject is not None:
        document["subject"] = {"mediaType": OCI_IMAGE, "digest": subject, "size": 1}
    content = json.dumps(document).encode()
    where = digest_of(content) if not reference or reference.startswith("?") else reference
    url = f"/v2/r/manifests/{where}{reference if reference.startswith('?') else ''}"
    answer = await client.put(url, content=content, headers=JSON)
    assert answer.status_code == 201, answer.text
    if subject is not None:
        assert answer.headers["OCI-Subject"] == subject
    return digest_of(content)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/r/nothing", 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/", 405, "UNSUPPORTED"),
        ("POST", "/v2/r/manifests/v1", 405, "UNSUPPORTED"),
        ("GET", "/v2/R/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a//b/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/r/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/r/tags/list?n=many", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/_catalog?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/r/manifests/absent", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/r/manifests/.bad", 400, "TAG_INVALID"),
        ("GET", "/v2/r/manifests/sha256:short", 400, "DIGEST_INVALID"),
        ("DELETE", f"/v2/r/manifests/{D}", 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/r/manifests/absent", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/r/blobs/{D}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/r/blobs/md5:aaaa", 400, "DIGEST_INVALID"),
        ("DELETE", f"/v2/r/blobs/{D}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/r/referrers/nothing", 400, "DIGEST_INVALID"),
        ("POST", f"{UPLOADS}?digest=nothing", 400, "DIGEST_INVALID"),
        ("POST", f"{UPLOADS}?digest-algorithm=md5", 400, "DIGEST_INVALID"),
        ("GET", f"{UPLOADS}abc", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", f"{UPLOADS}abc?_state=x.y", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"{UPLOADS}abc?_state=&digest={D}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ],
)
async def test_every_refusal_is_the_envelope_of_the_spec(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    """Whatever is wrong with a request, the answer says so in the spec's form, with the spec's code."""
    answer = await client.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    errors = answer.json()["errors"]
    assert [error["code"] for error in errors] == [code]
    assert errors[0]["message"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"not json", 400, "MANIFEST_INVALID"),
        (b"[" * 100_000, 400, "MANIFEST_INVALID"),
        (b'{"schemaVersion": 1}', 400, "MANIFEST_INVALID"),
        (b'{"schemaVersion": 2, "mediaType": "%s"}' % OCI_INDEX.encode(), 400, "MANIFEST_INVALID"),
        (b'{"schemaVersion": 2, "config": {"digest": "x"}, "layers": []}', 400, "MANIFEST_INVALID"),
        (b" " * (MIB // 2), 413, "SIZE_INVALID"),
    ],
    ids=["text", "deep", "schema 1", "mismatch", "digest", "long"],
)
async def test_bad_manifests_are_refused(client: httpx.AsyncClient, content: bytes, status: int, code: str) -> None:
    """A malformed manifest is a client's mistake, never a failure of the registry."""
    answer = await client.put("/v2/r/manifests/v1", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_missing_content_is_named_digest_by_digest(client: httpx.AsyncClient) -> None:
    """A manifest push names every blob that is not there."""
    descriptors = [{"mediaType": "a/b", "digest": f"sha256:{number:064}", "size": 1} for number in range(3)]
    document = {"schemaVersion": 2, "config": descriptors[0], "layers": descriptors[1:]}
    answer = await client.put("/v2/r/manifests/v1", json=document, headers=JSON)
    assert answer.status_code == 404
    errors = answer.json()["errors"]
    assert {error["code"] for error in errors} == {"MANIFEST_BLOB_UNKNOWN"}
    assert [error["detail"]["digest"] for error in errors] == [item["digest"] for item in descriptors]


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=5-2", 416, None),
        ("bytes=x", 416, None),
        ("bytes=-0", 416, None),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=0-1,", 206, b"01"),
    ],
)
async def test_ranges_of_a_blob(client: httpx.AsyncClient, header: str, status: int, content: bytes | None) -> None:
    """A range is cut out, an impossible one refused with the length, and any other header answered whole."""
    digest = await push_blob(client, b"0123456789")
    answer = await client.get(f"/v2/r/blobs/{digest}", headers={"Range": header})
    assert answer.status_code == status
    if content is None:
        assert answer.headers["Content-Range"] == "bytes */10"
        assert answer.json()["errors"][0]["code"] == "RANGE_INVALID"
    else:
        assert answer.content == content


@pytest.mark.parametrize("header", ["5-9", "nonsense", "3-1"])
async def test_chunks_out_of_order_are_told_where_to_go_on(client: httpx.AsyncClient, header: str) -> None:
    """A chunk from the wrong place is 416, and the upload lives on at the Location of the answer."""
    begun = await client.post(UPLOADS)
    refused = await client.patch(begun.headers["Location"], content=b"12345", headers={"Content-Range": header})
    assert refused.status_code == 416
    after = await client.patch(begun.headers["Location"], content=b"12345", headers={"Content-Range": "0-4"})
    assert after.headers["Range"] == "0-4"
    status = await client.get(after.headers["Location"])
    assert (status.status_code, status.headers["Range"]) == (204, "0-4")
    done = await client.put(f"{after.headers['Location']}&digest={digest_of(b'12345')}")
    assert done.status_code == 201


async def test_unchanged_content_is_not_sent_again(client: httpx.AsyncClient) -> None:
    """A read with the ETag it gave is 304."""
    await push_image(client, "v1")
    for path in ("/v2/r/manifests/v1", f"/v2/r/blobs/{digest_of(b'{}')}"):
        etag = (await client.get(path)).headers["ETag"]
        again = await client.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(path, headers={"If-None-Match": '"else"'})).status_code == 200


async def test_a_push_by_digest_sets_many_tags(client: httpx.AsyncClient) -> None:
    """Every `?tag=` is named in OCI-Tag, and pulls the manifest."""
    names = [f"t{number}" for number in range(12)]
    digest = await push_image(client, "?" + "&".join(f"tag={name}" for name in names))
    assert (await client.get("/v2/r/tags/list")).json() == {"name": "r", "tags": sorted(names)}
    assert (await client.head("/v2/r/manifests/t11")).headers["Docker-Content-Digest"] == digest


async def test_conditional_pushes(client: httpx.AsyncClient) -> None:
    """`If-None-Match: *` creates only, `If-Match` replaces what it names; lists and weak tags are RFC 9110's."""
    first = await push_image(client, "v1")
    manifest = (await client.get("/v2/r/manifests/v1")).content
    for headers, status in (
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": f'"{D}"'}, 412),
        ({"If-Match": f'"{first}"'}, 201),
        ({"If-Match": "*"}, 201),
        ({"If-Match": f'"{D}" , "{first}"'}, 201),
        ({"If-Match": f'"{D}", W/"{first}"'}, 412),
        ({"If-None-Match": '"x"'}, 201),
        ({"If-None-Match": f'"x", W/"{first}"'}, 412),
        ({"If-Match": "*", "If-None-Match": f'"{first}"'}, 412),
    ):
        answer = await client.put("/v2/r/manifests/v1", content=manifest, headers=JSON | headers)
        assert answer.status_code == status, (headers, answer.text)
    for headers, status in (
        ({"If-Match": "*"}, 412),
        ({"If-None-Match": f'"{first}"'}, 201),
    ):  # if the tag does not exist
        answer = await client.put("/v2/r/manifests/v2", content=manifest, headers=JSON | headers)
        assert answer.status_code == status, (headers, answer.text)
    for headers, status in (({"If-Match": f'"{D}"'}, 412), ({"If-None-Match": "*"}, 412), ({"If-Match": "*"}, 201)):
        answer = await client.put(f"/v2/r/manifests/{first}", content=manifest, headers=JSON | headers)
        assert answer.status_code == status, (headers, answer.text)


async def test_conditional_deletes(client: httpx.AsyncClient) -> None:
    """A DELETE whose condition does not hold deletes nothing; of what is not there the answer is 404 first."""
    first = await push_image(client, "v1")
    other = f'"{D}", W/"{first}"'
    for path in ("v1", first):
        assert (await client.delete(f"/v2/r/manifests/{path}", headers={"If-Match": other})).status_code == 412
        assert (await client.delete(f"/v2/r/manifests/{path}", headers={"If-None-Match": "*"})).status_code == 412
    for path in ("absent", D):
        assert (await client.delete(f"/v2/r/manifests/{path}", headers={"If-Match": other[1:]})).status_code in {
            400,
            404,
        }
        assert (await client.delete(f"/v2/r/manifests/{path}", headers={"If-None-Match": "*"})).status_code == 404
    for path in ("v1", first):
        found = f'"x", "{first}"'
        assert (await client.delete(f"/v2/r/manifests/{path}", headers={"If-Match": found})).status_code == 202
    blob = f"/v2/r/blobs/{await push_blob(client, b'conditional')}"
    assert (await client.delete(blob, headers={"If-Match": '"x"'})).status_code == 412
    assert (await client.delete(blob, headers={"If-Match": "*"})).status_code == 202
    assert (await client.delete(blob, headers={"If-Match": '"x"'})).status_code == 404


async def test_conditional_reads(client: httpx.AsyncClient) -> None:
    """If-Match of a read asks for this very content; what is malformed in If-None-Match is passed over."""
    first = await push_image(client, "v1")
    blob = await push_blob(client, b"conditional")
    for path, digest in (("manifests/v1", first), (f"blobs/{blob}", blob)):
        for headers, status in (
            ({"If-Match": "*"}, 200),
            ({"If-Match": f'"x", "{digest}"'}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": f'W/"{digest}"'}, 412),
            ({"If-None-Match": f'"x" ,, W/"{digest}"'}, 304),
            ({"If-None-Match": "*"}, 304),
            ({"If-None-Match": f'"x,{digest}"'}, 200),
            ({"If-None-Match": "nonsense"}, 200),
        ):
            for method in ("GET", "HEAD"):
                answer = await client.request(method, f"/v2/r/{path}", headers=headers)
                assert answer.status_code == status, (method, path, headers)


async def test_lists_lead_from_page_to_page(client: httpx.AsyncClient) -> None:
    """Following Link gives every tag once, in order."""
    await push_image(client, "?" + "&".join(f"tag=t{number:02}" for number in range(7)))
    found: list[str] = []
    url = "/v2/r/tags/list?n=3"
    while url:
        answer = await client.get(url)
        found += answer.json()["tags"]
        link = re.fullmatch(r"<(.+)>; rel=\"next\"", answer.headers.get("Link", ""))
        url = link[1] if link else ""
    assert found == [f"t{number:02}" for number in range(7)]
    assert (await client.get("/v2/r/tags/list?n=0")).json()["tags"] == []


async def test_referrers_are_filtered_and_forgotten(client: httpx.AsyncClient) -> None:
    """Referrers of a subject that need not exist are listed by type, and are deleted with their manifests."""
    kept = await push_image(client, "", D, "one")
    gone = await push_image(client, "", D, "two")
    await client.delete(f"/v2/r/manifests/{gone}")
    answer = await client.get(f"/v2/r/referrers/{D}?artifactType=application/x")
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert [item["digest"] for item in answer.json()["manifests"]] == [kept]
    assert answer.json()["manifests"][0]["annotations"] == {"note": "one"}
    assert (await client.get(f"/v2/r/referrers/{D}?artifactType=other")).json()["manifests"] == []


async def test_ranges_are_for_get_and_for_the_content_the_client_knows(client: httpx.AsyncClient) -> None:
    """HEAD, and a GET whose If-Range names other content, are answered whole."""
    path = f"/v2/r/blobs/{await push_blob(client, b'0123456789')}"
    head = await client.head(path, headers={"Range": "bytes=0-4"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    for if_range, status in (('"else"', 200), (head.headers["ETag"], 206)):
        answer = await client.get(path, headers={"Range": "bytes=0-4", "If-Range": if_range})
        assert answer.status_code == status
