"""Every endpoint of the OCI distribution spec over real HTTP, as it answers when all is well."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.unit.web.serving import (
    ABSENT,
    CONFIG,
    PART_BYTES,
    REPO,
    SETTINGS,
    UPLOADS,
    Replica,
    digest_of,
    image,
    serving,
)
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import trio

BLOB = bytes(range(256)) * 8
TYPE = {"Content-Type": OCI_IMAGE}


def next_of(answer: httpx.Response) -> str | None:
    """Return where a page says that the next one is."""
    link = answer.headers.get("Link")
    if link is None:
        return None
    match = re.fullmatch(r'<(/[^>]+)>; rel="next"', link)
    assert match is not None
    return match[1]


async def pages(replica: Replica, path: str, field: str) -> list[list[str]]:
    """Follow the Links of a list and return what each page holds."""
    found: list[list[str]] = []
    where: str | None = path
    while where is not None:
        answer = await replica.client.get(where)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[field])
        where = next_of(answer)
    return found


async def test_the_api_is_there(replica: Replica) -> None:
    """end-1: `/v2/` answers, with and without its last slash."""
    for path in ("/v2/", "/v2"):
        answer = await replica.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


async def test_a_blob_in_two_requests(replica: Replica) -> None:
    """end-4a and end-6: POST begins an upload, PUT with the bytes makes the blob."""
    begun = await replica.client.post(UPLOADS)
    assert begun.status_code == 202
    assert begun.headers["Range"] == "0-0"
    assert begun.headers["Location"].startswith(UPLOADS + begun.headers["Docker-Upload-UUID"])
    done = await replica.client.put(f"{begun.headers['Location']}&digest={digest_of(BLOB)}", content=BLOB)
    assert done.status_code == 201
    assert done.headers["Location"] == f"/v2/{REPO}/blobs/{digest_of(BLOB)}"
    assert done.headers["Docker-Content-Digest"] == digest_of(BLOB)
    assert (await replica.client.get(done.headers["Location"])).content == BLOB


@pytest.mark.parametrize("size_bytes", [0, 1, 70_000, 2 * PART_BYTES + 1])
async def test_a_blob_in_one_request(replica: Replica, size_bytes: int) -> None:
    """end-4b: POST with a digest and the bytes makes the blob, of whatever length."""
    content = (BLOB * (size_bytes // len(BLOB) + 1))[:size_bytes]
    done = await replica.client.post(UPLOADS, params={"digest": digest_of(content)}, content=content)
    assert done.status_code == 201
    read = await replica.client.get(done.headers["Location"])
    assert (read.status_code, read.content) == (200, content)
    assert replica.registry.budget.used_bytes == 0


async def test_a_blob_in_chunks_of_unknown_length(replica: Replica) -> None:
    """end-5, end-13 and end-6: chunks without a length are taken, and each answer says how far the upload is."""

    async def pieces(number: int) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes([number]) * 1000

    location = await replica.begin()
    for number in range(3):
        answer = await replica.client.patch(location, content=pieces(number))
        assert answer.status_code == 202
        location = answer.headers["Location"]
        status = await replica.client.get(location)
        assert status.status_code == 204
        assert status.headers["Range"] == answer.headers["Range"] == f"0-{3000 * (number + 1) - 1}"
        location = status.headers["Location"]
    content = b"".join(bytes([number]) * 3000 for number in range(3))
    done = await replica.client.put(f"{location}&digest={digest_of(content)}")
    assert done.status_code == 201
    assert (await replica.client.get(done.headers["Location"])).content == content


@pytest.mark.parametrize("begin", ["?digest-algorithm=sha512", ""])
async def test_a_blob_of_another_algorithm(replica: Replica, begin: str) -> None:
    """A sha512 digest is taken, whether it was announced when the upload began or not."""
    digest = digest_of(BLOB, "sha512")
    location = (await replica.client.post(UPLOADS + begin)).headers["Location"]
    location = (await replica.client.patch(location, content=BLOB)).headers["Location"]
    done = await replica.client.put(f"{location}&digest={digest}")
    assert done.status_code == 201
    read = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
    assert read.headers["Docker-Content-Digest"] == digest
    assert read.content == BLOB


async def test_an_upload_is_cancelled(replica: Replica) -> None:
    """end-14: DELETE ends an upload."""
    location = (await replica.client.patch(await replica.begin(), content=BLOB)).headers["Location"]
    assert (await replica.client.delete(location)).status_code == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await replica.client.request(method, f"{location}&digest={digest_of(BLOB)}")
        assert answer.status_code == 404, method


@pytest.mark.parametrize("source", [f"&from={REPO}", ""])
async def test_a_blob_is_mounted(replica: Replica, source: str) -> None:
    """end-11: a blob that another repository has is there at once, with and without saying which one."""
    digest = await replica.push_blob(BLOB)
    answer = await replica.client.post(f"/v2/team/other/blobs/uploads/?mount={digest}{source}")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/team/other/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert (await replica.client.get(answer.headers["Location"])).content == BLOB


async def test_a_mount_of_what_is_not_there_begins_an_upload(replica: Replica) -> None:
    """end-11: where there is nothing to mount, the answer is the beginning of an upload."""
    answer = await replica.client.post(f"{UPLOADS}?mount={digest_of(BLOB)}&from=team/other")
    assert answer.status_code == 202
    done = await replica.client.put(f"{answer.headers['Location']}&digest={digest_of(BLOB)}", content=BLOB)
    assert done.status_code == 201


@pytest.mark.parametrize(
    ("mounted", "source"),
    [
        (digest_of(BLOB), "Team/App"),
        (digest_of(BLOB), "registry.example.com:5000/team/app"),
        (digest_of(BLOB), "team//app"),
        (digest_of(BLOB), "/"),
        (digest_of(BLOB), "a" * 300),
        (digest_of(BLOB).upper(), REPO),
        ("sha256:" + digest_of(BLOB)[7:].upper(), REPO),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", REPO),
        ("sha256:abc", REPO),
        ("latest", REPO),
        ("latest", ""),
        ("\0", "\0"),
    ],
)
async def test_a_mount_of_what_cannot_be_here_begins_an_upload(replica: Replica, mounted: str, source: str) -> None:
    """end-11: clients remember names of other registries; what is no name or no digest here is no error."""
    await replica.push_blob(BLOB)
    answer = await replica.client.post(
        "/v2/team/new/blobs/uploads/", params={"mount": mounted} | ({"from": source} if source else {})
    )
    assert answer.status_code == 202, answer.text
    done = await replica.client.put(f"{answer.headers['Location']}&digest={digest_of(BLOB)}", content=BLOB)
    assert done.status_code == 201


async def test_an_upload_in_place_of_a_mount_hashes_by_the_algorithm_of_the_digest(replica: Replica) -> None:
    """With the one asked for where what was to be mounted is no digest."""
    digest = digest_of(BLOB, "sha512")
    for query in (f"mount={digest}&from=A", "mount=latest&digest-algorithm=sha512"):
        location = (await replica.client.post(f"{UPLOADS}?{query}")).headers["Location"]
        location = (await replica.client.patch(location, content=BLOB)).headers["Location"]
        assert (await replica.client.put(f"{location}&digest={digest}")).status_code == 201


@pytest.mark.parametrize("size_bytes", [0, 100, 70_000, 2 * PART_BYTES + 1])
async def test_a_blob_is_read(replica: Replica, size_bytes: int) -> None:
    """end-2: GET and HEAD of a blob say its length, digest and ETag, and that ranges are served."""
    content = (BLOB * (size_bytes // len(BLOB) + 1))[:size_bytes]
    digest = await replica.push_blob(content)
    for method in ("GET", "HEAD"):
        answer = await replica.client.request(method, f"/v2/{REPO}/blobs/{digest}")
        assert answer.status_code == 200
        assert answer.headers["Content-Length"] == str(size_bytes)
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.content == (content if method == "GET" else b"")


@pytest.mark.parametrize("size_bytes", [1000, 70_000, 2 * PART_BYTES + 1])
async def test_a_part_of_a_blob_is_read(replica: Replica, size_bytes: int) -> None:
    """end-2: a Range is answered with just those bytes; another unit with all."""
    content = (BLOB * (size_bytes // len(BLOB) + 1))[:size_bytes]
    url = f"/v2/{REPO}/blobs/{await replica.push_blob(content)}"
    last = size_bytes - 1
    for header, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=900-", 900, size_bytes),
        ("bytes=-7", size_bytes - 7, size_bytes),
        (f"bytes={last}-{last}", last, size_bytes),
        (f"bytes=10-{size_bytes * 2}", 10, size_bytes),
        (f"bytes=-{size_bytes * 2}", 0, size_bytes),
    ):
        answer = await replica.client.get(url, headers={"Range": header})
        assert answer.status_code == 206, header
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size_bytes}"
        assert answer.content == content[start:end]
    whole = await replica.client.get(url, headers={"Range": "lines=1-2"})
    assert (whole.status_code, whole.content) == (200, content)


async def test_what_the_client_has_already_is_not_sent(replica: Replica) -> None:
    """A read whose If-None-Match has the ETag is 304 without a body; with another one it is answered."""
    blob = await replica.push_blob(BLOB)
    manifest = (await replica.push_image("v1")).headers["Docker-Content-Digest"]
    for path, digest in (
        (f"blobs/{blob}", blob),
        ("manifests/v1", manifest),
        (f"manifests/{manifest}", manifest),
    ):
        url = f"/v2/{REPO}/{path}"
        for header in (f'"{digest}"', f'W/"{digest}"', f'"other", "{digest}"', "*"):
            for method in ("GET", "HEAD"):
                answer = await replica.client.request(method, url, headers={"If-None-Match": header})
                assert (answer.status_code, answer.content) == (304, b""), header
                assert answer.headers["ETag"] == f'"{digest}"'
        assert (await replica.client.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_blob_is_deleted(replica: Replica) -> None:
    """end-10: a deleted blob does not exist any more."""
    url = f"/v2/{REPO}/blobs/{await replica.push_blob(BLOB)}"
    assert (await replica.client.delete(url)).status_code == 202
    for method in ("GET", "HEAD", "DELETE"):
        assert (await replica.client.request(method, url)).status_code == 404


async def test_a_manifest_is_pushed_and_read_byte_for_byte(replica: Replica) -> None:
    """end-7 and end-3: a manifest is read as it was pushed, by tag and by digest, with its media type and headers."""
    await replica.push_blob(CONFIG)
    content = image() + b"\n \n"
    digest = digest_of(content)
    pushed = await replica.client.put(f"/v2/{REPO}/manifests/v1", content=content, headers=TYPE)
    assert pushed.status_code == 201
    assert pushed.headers["Location"] == f"/v2/{REPO}/manifests/{digest}"
    assert pushed.headers["Docker-Content-Digest"] == digest
    for reference in ("v1", digest):
        for method in ("GET", "HEAD"):
            answer = await replica.client.request(method, f"/v2/{REPO}/manifests/{reference}")
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == OCI_IMAGE
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["ETag"] == f'"{digest}"'
            assert answer.content == (content if method == "GET" else b"")


async def test_a_manifest_is_pushed_with_many_tags(replica: Replica) -> None:
    """end-7: a push by digest takes any number of `?tag=`, each named once in OCI-Tag."""
    tags = [f"tag-{number:02}" for number in range(12)]
    pushed = await replica.push_image(*tags, tags[0])
    assert pushed.headers.get_list("OCI-Tag") == tags
    assert (await replica.client.get(f"/v2/{REPO}/tags/list")).json() == {"name": REPO, "tags": tags}


async def test_a_manifest_of_sha512_is_pushed_by_its_digest(replica: Replica) -> None:
    """end-7: a manifest pushed under its sha512 digest is read under it."""
    await replica.push_blob(CONFIG)
    content = image()
    url = f"/v2/{REPO}/manifests/{digest_of(content, 'sha512')}"
    assert (await replica.client.put(f"{url}?tag=v1", content=content, headers=TYPE)).status_code == 201
    assert (await replica.client.get(url)).content == content
    tagged = await replica.client.get(f"/v2/{REPO}/manifests/v1")
    assert tagged.headers["Docker-Content-Digest"] == digest_of(content, "sha512")


async def test_manifests_and_tags_are_deleted(replica: Replica) -> None:
    """end-9: a deleted tag leaves the manifest, a deleted manifest takes its tags."""
    digest = (await replica.push_image("v1", "v2", "v3")).headers["Docker-Content-Digest"]
    assert (await replica.client.delete(f"/v2/{REPO}/manifests/v1")).status_code == 202
    assert (await replica.client.get(f"/v2/{REPO}/tags/list")).json()["tags"] == ["v2", "v3"]
    assert (await replica.client.get(f"/v2/{REPO}/manifests/{digest}")).status_code == 200
    assert (await replica.client.delete(f"/v2/{REPO}/manifests/{digest}")).status_code == 202
    for reference in (digest, "v2", "v3"):
        assert (await replica.client.get(f"/v2/{REPO}/manifests/{reference}")).status_code == 404
    assert (await replica.client.get(f"/v2/{REPO}/tags/list")).json() == {"name": REPO, "tags": []}


async def test_a_tag_is_created_only_and_replaced_only(replica: Replica) -> None:
    """If-None-Match: * creates a tag, If-Match with the ETag of a read replaces it."""
    await replica.push_blob(CONFIG)
    url = f"/v2/{REPO}/manifests/v1"
    one, other = image(note="one"), image(note="other")
    created = await replica.client.put(url, content=one, headers=TYPE | {"If-None-Match": "*"})
    assert created.status_code == 201
    etag = (await replica.client.get(url)).headers["ETag"]
    for expected in (201, 412):
        answer = await replica.client.put(url, content=other, headers=TYPE | {"If-Match": etag})
        assert answer.status_code == expected
    assert (await replica.client.get(url)).content == other


async def test_tags_are_listed_in_pages(replica: Replica) -> None:
    """end-8a and end-8b: tags come in order, `n` at a time, each page but the last with a Link to the next."""
    tags = sorted(f"{prefix}{number}" for prefix in ("A", "a", "_") for number in range(4))
    await replica.push_image(*tags)
    url = f"/v2/{REPO}/tags/list"
    assert await pages(replica, url, "tags") == [tags]
    assert await pages(replica, f"{url}?n=5", "tags") == [tags[:5], tags[5:10], tags[10:]]
    assert await pages(replica, f"{url}?n=12", "tags") == [tags]
    assert await pages(replica, f"{url}?n=6&last={tags[2]}", "tags") == [tags[3:9], tags[9:]]
    assert await pages(replica, f"{url}?last={tags[-1]}", "tags") == [[]]
    assert await pages(replica, f"{url}?n=0", "tags") == [[]]
    assert await pages(replica, f"{url}?n=2000", "tags") == [tags]


async def test_a_list_without_n_is_a_page_and_n_is_capped(nursery: trio.Nursery) -> None:
    """Neither a client that asks for no number nor one that asks for too many gets more than a page holds."""
    async with serving(nursery, replace(SETTINGS, lists=replace(SETTINGS.lists, page_size=2))) as replica:
        for number in range(5):
            await replica.push_image(f"t{number}", repo=f"r{number}")
            await replica.push_image(f"t{number}")
        for query in ("", "?n=", "?n=3", "?n=9999999999"):
            tags = await pages(replica, f"/v2/{REPO}/tags/list{query}", "tags")
            assert tags == [["t0", "t1"], ["t2", "t3"], ["t4"]]
            assert [len(page) for page in await pages(replica, f"/v2/_catalog{query}", "repositories")] == [2, 2, 2]
        assert await pages(replica, f"/v2/{REPO}/tags/list?n=0", "tags") == [[]]


@pytest.mark.parametrize(
    "last", ["%00", "%0A", "%7F", "%C3%A9", "%ED%A0%80", "%FF", "t1%00", "x" * 3000, "..%2F..", "/"]
)
async def test_a_list_begins_after_any_text(replica: Replica, last: str) -> None:
    """A client may write anything as `last`; the list goes on where it would stand."""
    await replica.push_image("t1", "t2")
    where = last if last in {"%ED%A0%80", "%FF"} else unquote(last)  # no UTF-8: it is taken as it is written
    answer = await replica.client.get(f"/v2/{REPO}/tags/list?last={last}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["tags"] == [tag for tag in ("t1", "t2") if tag > where]
    assert (await replica.client.get(f"/v2/_catalog?last={last}")).status_code == 200
    assert (await replica.client.get(f"/v2/{REPO}/referrers/{ABSENT}?last={last}")).status_code == 200


async def test_a_page_is_held_in_memory_until_it_was_sent(replica: Replica) -> None:
    """What a long page takes counts in the budget, and is given back with the answer; a short one is not counted."""
    await replica.push_image("one")
    assert (await replica.client.get(f"/v2/{REPO}/tags/list")).json()["tags"] == ["one"]
    before = replica.registry.budget.peak_bytes
    for number in range(20):
        await replica.push_image(*[f"t{number}-{index}" for index in range(20)])
    replica.registry.budget.ledger.peak_bytes = 0
    assert len((await replica.client.get(f"/v2/{REPO}/tags/list?n=400")).json()["tags"]) == 400
    assert replica.registry.budget.peak_bytes > before
    while (await replica.ended.receive()).path != f"/v2/{REPO}/tags/list":
        pass
    assert replica.registry.budget.used_bytes == 0


async def test_repositories_are_listed_in_pages(replica: Replica) -> None:
    """The catalog lists each repository that had a manifest pushed, once, in pages."""
    names = ["a", "a-b", "a/b", "a/b/c", "ab", "b"]
    for name in names:
        await replica.push_image("v1", repo=name)
    await replica.push_blob(BLOB, "only-a-blob")
    for n in (1, 2, 4, 6, 100):
        listed = await pages(replica, f"/v2/_catalog?n={n}", "repositories")
        assert sorted(name for page in listed for name in page) == sorted(names)
        assert [len(page) for page in listed[:-1]] == [n] * (len(listed) - 1)


async def test_a_referrer_is_found_by_its_subject(replica: Replica) -> None:
    """end-12: a manifest with a subject says so when it is pushed, and is listed there, also before the subject is."""
    pushed = await replica.push_image(subject=ABSENT, artifact_type="application/sbom", note="mine")
    assert pushed.headers["OCI-Subject"] == ABSENT
    answer = await replica.client.get(f"/v2/{REPO}/referrers/{ABSENT}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert "OCI-Filters-Applied" not in answer.headers
    index = answer.json()
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    content = image(subject=ABSENT, artifact_type="application/sbom", note="mine")
    assert index["manifests"] == [
        {
            "mediaType": OCI_IMAGE,
            "digest": digest_of(content),
            "size": len(content),
            "artifactType": "application/sbom",
            "annotations": {"note": "mine"},
        }
    ]


async def test_a_subject_without_referrers_is_an_empty_index(replica: Replica) -> None:
    """end-12: nobody refers to it: an empty index, not an error."""
    answer = await replica.client.get(f"/v2/{REPO}/referrers/{ABSENT}")
    assert answer.status_code == 200
    assert answer.json()["manifests"] == []


async def test_referrers_are_filtered_and_listed_in_pages(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """end-12: the filter is applied and said to be, on every page, and pages lead to one another."""
    monkeypatch.setattr("zotpy.registry.referrer_lists.REFERRERS_LISTED", 2)
    digests: dict[str, set[str]] = {"application/one": set(), "application/two": set()}
    for number in range(7):
        kind = "application/one" if number % 2 else "application/two"
        pushed = await replica.push_image(subject=ABSENT, artifact_type=kind, note=str(number))
        digests[kind].add(pushed.headers["Docker-Content-Digest"])
    for kind, expected in digests.items():
        found: list[str] = []
        where: str | None = f"/v2/{REPO}/referrers/{ABSENT}?artifactType={kind}"
        sizes: list[int] = []
        while where is not None:
            answer = await replica.client.get(where)
            assert answer.headers["OCI-Filters-Applied"] == "artifactType"
            found += [descriptor["digest"] for descriptor in answer.json()["manifests"]]
            where = next_of(answer)
            sizes.append(len(answer.json()["manifests"]))
        assert 2 <= len(sizes) <= 4
        assert all(sizes[:-1])
        assert len(found) == len(expected)
        assert set(found) == expected


async def test_operators_are_answered(replica: Replica) -> None:
    """Health and metrics answer outside `/v2/`."""
    for path in ("/livez", "/readyz", "/startupz"):
        assert (await replica.client.get(path)).status_code == 200
    assert "zotpy_metrics" in (await replica.client.get("/metrics")).text


async def test_an_answer_without_content_names_no_type(replica: Replica) -> None:
    """Nothing is not HTML. A HEAD still says what a GET would bring."""
    pushed = await replica.push_image("v1")
    digest = await replica.push_blob(BLOB)
    manifest = f"/v2/{REPO}/manifests/v1"
    status = await replica.client.get(await replica.begin())
    unchanged = await replica.client.get(manifest, headers={"If-None-Match": pushed.headers["ETag"]})
    head_unchanged = await replica.client.head(manifest, headers={"If-None-Match": pushed.headers["ETag"]})
    deleted = await replica.client.delete(f"/v2/{REPO}/blobs/{digest}")
    empty = [pushed, status, unchanged, head_unchanged, deleted, await replica.client.post(UPLOADS)]
    assert [answer.status_code for answer in empty] == [201, 204, 304, 304, 202, 202]
    assert ["Content-Type" in answer.headers for answer in empty] == [False] * len(empty)
    head = await replica.client.head(manifest)
    assert head.headers["Content-Type"] == (await replica.client.get(manifest)).headers["Content-Type"]
