"""Errors over real HTTP: the spec's envelope, status and code for each, and nothing of the registry's inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.web.serving import (
    ABSENT,
    CONFIG,
    MANIFEST_LIMIT_BYTES,
    REPO,
    UPLOADS,
    Replica,
    codes_of,
    digest_of,
    image,
)
from zotpy.core.errors import RegistryError
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.units import MIB
from zotpy.store.interface import StoreFull, StoreRefused, StoreUnavailable
from zotpy.web.app import ROUTES
from zotpy.web.errors import STATUS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TYPE = {"Content-Type": OCI_IMAGE}


def allowed_methods() -> dict[str, set[str]]:
    """Return a path for each route, with the methods it takes."""
    allowed: dict[str, set[str]] = {}
    for route in ROUTES:
        method, path = route.method, route.rule.replace("<path:name>", REPO).replace("<digest>", ABSENT)
        path = path.replace("<reference>", "v1").replace("<upload_id>", "an-upload")
        allowed.setdefault(path, set()).update({"GET", "HEAD"} if method == "GET" else {method})
    return allowed


@pytest.mark.parametrize("path", sorted(allowed_methods()))
async def test_a_method_that_an_endpoint_does_not_take_is_refused(replica: Replica, path: str) -> None:
    """Every endpoint answers each method it does not take with 405 and says which ones it takes."""
    allowed = allowed_methods()[path]
    for method in sorted(set(METHODS) - allowed):
        answer = await replica.client.request(method, path)
        assert answer.status_code == 405, method
        assert set(answer.headers["Allow"].split(", ")) == allowed
        if method != "HEAD":
            assert codes_of(answer) == ["UNSUPPORTED"]


@pytest.mark.parametrize(
    "path",
    ["/favicon.ico", "/v1/", "/v2/team/app", "/v2/team/app/blobs", f"/v2/{REPO}/nothing/{ABSENT}", "/v2/tags/list"],
)
async def test_an_endpoint_that_is_not_there_is_404(replica: Replica, path: str) -> None:
    """A path that is no endpoint is answered with the envelope, for whatever method."""
    for method in ("GET", "POST", "DELETE"):
        answer = await replica.client.request(method, path)
        assert answer.status_code == 404
        assert codes_of(answer) == ["NAME_UNKNOWN"]
    head = await replica.client.head(path)
    assert (head.status_code, head.content) == (404, b"")


def subclasses(kind: type[RegistryError]) -> Iterator[type[RegistryError]]:
    """Return all errors below one."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_has_a_status() -> None:
    """No error that a use case can raise lacks its row in the table of status codes."""
    assert set(subclasses(RegistryError)) == set(STATUS)


BAD_NAMES = ["UPPER", "a//b", "-a", "a-", "a..b", "a___b", "a/", "%20", "%C3%A4", "a%00b", "_a", "a/b%21", "x" * 256]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_bad_repository_name_is_refused(replica: Replica, name: str) -> None:
    """A name against the spec's grammar is NAME_INVALID at every endpoint that has one."""
    for method, path in (
        ("GET", "tags/list"),
        ("GET", f"referrers/{ABSENT}"),
        ("GET", "manifests/v1"),
        ("PUT", "manifests/v1"),
        ("DELETE", "manifests/v1"),
        ("GET", f"blobs/{ABSENT}"),
        ("DELETE", f"blobs/{ABSENT}"),
        ("POST", "blobs/uploads/"),
    ):
        answer = await replica.client.request(method, f"/v2/{name}/{path}")
        assert answer.status_code == 400, (method, path)
        assert codes_of(answer) == ["NAME_INVALID"]


BAD_DIGESTS = [
    "sha256:",
    "sha256:0",
    f"sha256:{'g' * 64}",
    f"sha256:{'A' * 64}",
    f"md5:{'0' * 32}",
    f"sha512:{'0' * 64}",
]


@pytest.mark.parametrize("digest", BAD_DIGESTS)
async def test_a_bad_digest_is_refused(replica: Replica, digest: str) -> None:
    """A digest that is malformed or of an unknown algorithm is DIGEST_INVALID at every endpoint that has one."""
    location = await replica.begin()
    for method, path in (
        ("GET", f"/v2/{REPO}/manifests/{digest}"),
        ("HEAD", f"/v2/{REPO}/blobs/{digest}"),
        ("PUT", f"/v2/{REPO}/manifests/{digest}"),
        ("DELETE", f"/v2/{REPO}/manifests/{digest}"),
        ("GET", f"/v2/{REPO}/blobs/{digest}"),
        ("DELETE", f"/v2/{REPO}/blobs/{digest}"),
        ("GET", f"/v2/{REPO}/referrers/{digest}"),
        ("POST", f"{UPLOADS}?digest={digest}"),
        ("PUT", f"{location}&digest={digest}"),
    ):
        answer = await replica.client.request(method, path)
        assert answer.status_code == 400, (method, path)
        if method != "HEAD":
            assert codes_of(answer) == ["DIGEST_INVALID"]


@pytest.mark.parametrize("tag", [".a", "-a", "a%20b", "a%21", "%C3%A4", "x" * 129])
async def test_a_bad_tag_is_refused(replica: Replica, tag: str) -> None:
    """A tag against the spec's grammar is TAG_INVALID, as a reference and as a parameter."""
    content = image()
    for method, path in (
        ("GET", f"/v2/{REPO}/manifests/{tag}"),
        ("PUT", f"/v2/{REPO}/manifests/{tag}"),
        ("DELETE", f"/v2/{REPO}/manifests/{tag}"),
        ("PUT", f"/v2/{REPO}/manifests/{digest_of(content)}?tag=v1&tag={tag}"),
    ):
        answer = await replica.client.request(method, path, headers=TYPE)
        assert answer.status_code == 400, (method, path)
        assert codes_of(answer) == ["TAG_INVALID"]


@pytest.mark.parametrize("n", ["-1", "1.5", "x", "%20", "1e3", "%D9%A1", "9" * 30])
async def test_a_bad_page_size_is_refused(replica: Replica, n: str) -> None:
    """An `n` that is no number of items is refused by each list that takes one."""
    for path in ("/v2/_catalog", f"/v2/{REPO}/tags/list"):
        answer = await replica.client.get(f"{path}?n={n}")
        assert answer.status_code == 400
        assert codes_of(answer) == ["PAGINATION_NUMBER_INVALID"]


@pytest.mark.parametrize("header", ["5-", "-5", "a-b", "9-5", "bytes", "0-4,6-9", "9" * 20 + "-" + "9" * 20])
async def test_a_bad_content_range_is_refused(replica: Replica, header: str) -> None:
    """A Content-Range that cannot be read is 416 for a chunk and for the last one, and the upload goes on."""
    location = await replica.begin()
    for method, url in (("PATCH", location), ("PUT", f"{location}&digest={digest_of(b'12345')}")):
        answer = await replica.client.request(method, url, content=b"12345", headers={"Content-Range": header})
        assert answer.status_code == 416
        assert codes_of(answer) == ["RANGE_INVALID"]
    assert (await replica.client.get(location)).headers["Range"] == "0-0"


async def test_a_chunk_out_of_order_is_told_where_to_go_on(replica: Replica) -> None:
    """A chunk from the wrong place is 416 with the Range that is safe and a Location from which to go on."""
    location = await replica.begin()
    first = await replica.client.patch(location, content=b"12345", headers={"Content-Range": "0-4"})
    go_on = first.headers["Location"]
    for method, url in (("PATCH", location), ("PUT", f"{go_on}&digest={ABSENT}")):
        refused = await replica.client.request(method, url, content=b"xyz", headers={"Content-Range": "7-9"})
        assert refused.status_code == 416
        assert codes_of(refused) == ["BLOB_UPLOAD_INVALID"]
        assert refused.headers["Range"] == "0-4"
        go_on = refused.headers["Location"]
    done = await replica.client.put(f"{go_on}&digest={digest_of(b'1234567')}", content=b"67")
    assert done.status_code == 201


@pytest.mark.parametrize(
    "header", ["bytes=7-", "bytes=3-2", "bytes=-0", "bytes=a-b", "bytes=-", "bytes=" + "9" * 20 + "-"]
)
async def test_a_range_outside_a_blob_is_416_with_its_length(replica: Replica, header: str) -> None:
    """A Range that cannot be satisfied is 416, with the length there is."""
    digest = await replica.push_blob(b"1234567")
    answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}", headers={"Range": header})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */7"
    assert codes_of(answer) == ["RANGE_INVALID"]


async def test_a_manifest_too_long_is_413(replica: Replica) -> None:
    """A manifest above the limit is 413, whether or not its length is announced, and the connection goes on."""

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(MANIFEST_LIMIT_BYTES // 1024 + 1):
            yield b" " * 1024

    url = f"/v2/{REPO}/manifests/v1"
    for content in (b" " * (MANIFEST_LIMIT_BYTES + 1), unannounced()):
        answer = await replica.client.put(url, content=content, headers=TYPE)
        assert answer.status_code == 413
        assert codes_of(answer) == ["SIZE_INVALID"]
    assert (await replica.client.get("/v2/")).status_code == 200
    assert replica.registry.budget.used_bytes == 0


async def test_what_is_not_there_is_404_in_its_own_words(replica: Replica) -> None:
    """An absent blob, manifest, tag, upload and repository are told apart by their codes."""
    await replica.push_image("v1")
    other = digest_of(b"another")
    for method, path, code in (
        ("GET", f"/v2/{REPO}/blobs/{other}", "BLOB_UNKNOWN"),
        ("DELETE", f"/v2/{REPO}/blobs/{other}", "BLOB_UNKNOWN"),
        ("GET", f"/v2/{REPO}/manifests/{other}", "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{REPO}/manifests/v2", "MANIFEST_UNKNOWN"),
        ("DELETE", f"/v2/{REPO}/manifests/v2", "MANIFEST_UNKNOWN"),
        ("DELETE", f"/v2/{REPO}/manifests/{other}", "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{REPO}/manifests/{digest_of(CONFIG)}", "MANIFEST_UNKNOWN"),
        ("GET", "/v2/another/tags/list", "NAME_UNKNOWN"),
        ("GET", f"{UPLOADS}{'0' * 32}", "BLOB_UPLOAD_UNKNOWN"),
    ):
        answer = await replica.client.request(method, path)
        assert answer.status_code == 404, path
        assert codes_of(answer) == [code]


async def test_the_location_of_another_upload_is_of_no_use(replica: Replica) -> None:
    """A token that was given out for another upload, repository or registry, or was changed, is BLOB_UPLOAD_UNKNOWN."""
    location = httpx.URL(await replica.begin())
    token = location.params["_state"]
    upload_id = location.path.rpartition("/")[2]
    payload, _, mac = token.partition(".")
    urls = [
        f"{UPLOADS}{'0' * 32}?_state={token}",
        f"/v2/another/blobs/uploads/{upload_id}?_state={token}",
        *(
            f"{location.path}?_state={forged}"
            for forged in ("", "x", ".", f"{payload}.", f".{mac}", f"{payload}.{mac[::-1]}", f"{payload[::-1]}.{mac}")
        ),
    ]
    for url in urls:
        for method in ("GET", "PATCH", "DELETE"):
            answer = await replica.client.request(method, url)
            assert answer.status_code == 404, url
            assert codes_of(answer) == ["BLOB_UPLOAD_UNKNOWN"]


async def test_a_put_needs_a_digest(replica: Replica) -> None:
    """An upload that is finished without saying what it is is DIGEST_INVALID, and may be finished properly after."""
    location = await replica.begin()
    answer = await replica.client.put(location, content=b"12345")
    assert answer.status_code == 400
    assert codes_of(answer) == ["DIGEST_INVALID"]
    assert (await replica.client.put(f"{location}&digest={digest_of(b'12345')}", content=b"12345")).status_code == 201


async def test_other_content_than_its_digest_says_is_refused(replica: Replica) -> None:
    """A blob or a manifest with another digest is DIGEST_INVALID, with both digests in the detail."""
    for method, url in (
        ("POST", f"{UPLOADS}?digest={ABSENT}"),
        ("PUT", f"{await replica.begin()}&digest={ABSENT}"),
        ("PUT", f"/v2/{REPO}/manifests/{ABSENT}"),
    ):
        content = image()
        answer = await replica.client.request(method, url, content=content, headers=TYPE)
        assert answer.status_code == 400
        assert codes_of(answer) == ["DIGEST_INVALID"]
        assert answer.json()["errors"][0]["detail"] == {"digest": ABSENT, "actual": digest_of(content)}


async def test_missing_content_has_an_error_for_each_piece(replica: Replica) -> None:
    """A manifest whose content is missing is MANIFEST_BLOB_UNKNOWN, once for each digest."""
    answer = await replica.client.put(f"/v2/{REPO}/manifests/v1", content=image(), headers=TYPE)
    assert answer.status_code == 404
    assert codes_of(answer) == ["MANIFEST_BLOB_UNKNOWN"]
    assert answer.json()["errors"][0]["detail"] == {"digest": digest_of(CONFIG)}


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({"If-None-Match": "*"}, "", 412, "DENIED"),
        ({"If-Match": f'"{ABSENT}"'}, "", 412, "DENIED"),
        ({"If-Match": "nonsense"}, "", 400, "DIGEST_INVALID"),
        ({"If-Match": '"unclosed'}, "", 400, "DIGEST_INVALID"),
        ({"If-Match": f'W/"{digest_of(image())}"'}, "", 412, "DENIED"),
        ({"If-Match": '"something"'}, "", 412, "DENIED"),
        ({"If-None-Match": "nonsense"}, "", 400, "DIGEST_INVALID"),
        ({}, "?tag=v2", 400, "TAG_INVALID"),
    ],
)
async def test_a_push_that_cannot_be_is_refused(
    replica: Replica, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    """A condition that does not hold, or none that there is, and `?tag=` on a push by tag are refused."""
    await replica.push_image("v1", note="there already")
    answer = await replica.client.put(f"/v2/{REPO}/manifests/v1{query}", content=image(), headers=TYPE | headers)
    assert answer.status_code == status
    assert codes_of(answer) == [code]
    assert (await replica.client.get(f"/v2/{REPO}/manifests/v1")).content == image(note="there already")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailable("s3.internal said no"), 429, "TOOMANYREQUESTS"),
        (StoreRefused("wrong keys: AKIA"), 503, "UNAVAILABLE"),
    ],
)
async def test_a_store_that_fails_is_told_of_without_its_secrets(
    replica: Replica, error: Exception, status: int, code: str
) -> None:
    """429 for what may pass, as some clients repeat only that; 503 for a replica that its store refuses."""
    replica.script.fail("before", "get", "tags/", error)
    answer = await replica.client.get(f"/v2/{REPO}/manifests/v1")
    assert answer.status_code == status
    assert int(answer.headers["Retry-After"]) > 0
    assert codes_of(answer) == [code]
    assert str(error) not in answer.text


async def test_a_store_that_is_full_is_413_with_the_reason(replica: Replica) -> None:
    """A push ends, for no client tries 413 again, and says what is wrong, without the store's secrets."""
    replica.script.fail("before", "put", "entries/", StoreFull("PutObject: the store answered 507 (bucket AKIA)"))
    answer = await replica.client.post(UPLOADS, params={"digest": digest_of(b"x")}, content=b"x")
    assert answer.status_code == 413
    assert codes_of(answer) == ["DENIED"]
    assert "is full" in answer.text
    assert "AKIA" not in answer.text
    assert "Retry-After" not in answer.headers


async def test_a_failure_of_our_own_is_500_without_its_words(replica: Replica) -> None:
    """An error that nobody foresaw is the envelope too, says nothing of the inside, and ends only its request."""
    replica.script.fail("before", "get", "tags/", RuntimeError("a secret"))
    answer = await replica.client.get(f"/v2/{REPO}/manifests/v1")
    assert answer.status_code == 500
    assert codes_of(answer) == ["UNKNOWN"]
    assert "secret" not in answer.text
    assert (await replica.client.get("/v2/")).status_code == 200


async def test_a_damaged_bucket_never_gives_wrong_content(replica: Replica) -> None:
    """Objects with other bytes than their name says are 404, so that a push heals them; unreadable ones are 503."""
    digest = await replica.push_blob(b"the content")
    await replica.push_image("v1")
    for key, found in replica.store.objects.items():
        if key.startswith(("entries/", "tags/")):
            found.body = found.body.replace(b"content", b"CONTENT").replace(b"application/x", b"application/y")
    for path, code in ((f"/v2/{REPO}/blobs/{digest}", "BLOB"), (f"/v2/{REPO}/manifests/v1", "MANIFEST")):
        answer = await replica.client.get(path)
        assert (answer.status_code, codes_of(answer)) == (404, [f"{code}_UNKNOWN"])
    for key, found in replica.store.objects.items():
        if key.startswith(("entries/", "tags/")):
            found.body = b"damaged"
    for path in (f"/v2/{REPO}/blobs/{digest}", f"/v2/{REPO}/manifests/v1"):
        answer = await replica.client.get(path)
        assert answer.status_code == 503
        assert codes_of(answer) == ["UNAVAILABLE"]


@pytest.mark.parametrize("operation", ["get", "open"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(12, "Cannot allocate memory"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        trio.BrokenResourceError(),
        trio.ClosedResourceError(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["ours", "hypercorn"])
async def test_what_the_system_refuses_is_503(
    replica: Replica, error: Exception, operation: str, headers: dict[str, str]
) -> None:
    """Another replica may have it. So it is also if the answer's head is ready, and its first byte cannot be had."""
    digest = await replica.push_blob(bytes(2 * MIB))
    replica.script.fail("before", operation, "", error)
    with capture_logs() as logs:
        answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}", headers=headers)
    assert answer.status_code == 503
    assert codes_of(answer) == ["UNAVAILABLE"]
    assert int(answer.headers["Retry-After"]) > 0
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["system_failed"]
    assert len((await replica.client.get(f"/v2/{REPO}/blobs/{digest}")).content) == 2 * MIB
