"""Reads of several ranges, over real HTTP."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import BUDGET_BYTES, PART_BYTES, REDIRECTING, REPO, SETTINGS, codes_of, image, serving
from zotpy.core.byteranges import JOIN_BYTES
from zotpy.core.units import KIB, MIB

if TYPE_CHECKING:
    import httpx
    import trio

    from tests.unit.web.serving import Replica

_PART = re.compile(rb"Content-Type: ([^\r]+)\r\nContent-Range: bytes (\d+)-(\d+)/(\d+)\r\n\r\n")


def parts_of(answer: httpx.Response, size_bytes: int) -> list[tuple[int, bytes]]:
    """Take a multipart answer apart: where each part begins, and its bytes."""
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert (answer.status_code, kind) == (206, "multipart/byteranges")
    assert len(answer.content) == int(answer.headers["Content-Length"])
    first, *parts, last = answer.content.split(f"\r\n--{boundary}".encode())
    assert (first, last) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        match = _PART.fullmatch(head.removeprefix(b"\r\n") + b"\r\n\r\n")
        assert match is not None
        assert (int(match[3]) - int(match[2]) + 1, int(match[4])) == (len(content), size_bytes)
        found.append((int(match[2]), content))
    return found


async def push(replica: Replica, size_bytes: int) -> tuple[str, bytes]:
    """Push a blob, and return where it is."""
    content = random.Random(size_bytes).randbytes(size_bytes)
    return f"/v2/{REPO}/blobs/{await replica.push_blob(content)}", content


@pytest.mark.parametrize("size_bytes", [KIB, 3 * PART_BYTES + 5])
async def test_several_ranges_are_parts_of_one_answer(replica: Replica, size_bytes: int) -> None:
    """Each range is a part of its own, of a small blob and of a large one, those that touch as well."""
    url, content = await push(replica, size_bytes)
    edges = [0, 1, 100, 101, 500, size_bytes - 30, size_bytes]
    spans = [*pairwise(edges[:5]), (edges[-2], edges[-1])]
    header = "bytes=" + ", ".join(f"{start}-{end - 1}" for start, end in spans)
    answer = await replica.client.get(url, headers={"Range": header})
    assert parts_of(answer, size_bytes) == [(start, content[start:end]) for start, end in spans]
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "content_range", "content"),
    [
        ("bytes=0-3,", "bytes 0-3/1024", slice(0, 4)),
        ("bytes=2-5,4-9", "bytes 2-9/1024", slice(2, 10)),
        ("bytes=5000-,-3", "bytes 1021-1023/1024", slice(1021, 1024)),
    ],
)
async def test_what_comes_to_one_range_is_no_multipart(
    replica: Replica, header: str, content_range: str, content: slice
) -> None:
    """Empty elements, overlaps, and ranges outside: an answer of one part must have no form of several."""
    url, whole = await push(replica, KIB)
    answer = await replica.client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, content_range)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.content == whole[content]


async def test_ranges_are_counted(nursery: trio.Nursery) -> None:
    """One more than the limit is 400, at which stargz and zstd:chunked ask for fewer; HEAD has no ranges."""
    async with serving(nursery, replace(SETTINGS, http=replace(SETTINGS.http, max_ranges=3))) as replica:
        url, content = await push(replica, KIB)
        taken = await replica.client.get(url, headers={"Range": "bytes=0-0,2-2,4-4"})
        assert parts_of(taken, KIB) == [(start, content[start : start + 1]) for start in (0, 2, 4)]
        refused = await replica.client.get(url, headers={"Range": "bytes=0-0,2-2,4-4,6-6"})
        assert (refused.status_code, codes_of(refused)) == (400, ["RANGE_INVALID"])
        assert "ask for fewer" in refused.json()["errors"][0]["message"]
        assert (await replica.client.head(url, headers={"Range": "bytes=0-0,2-2,4-4,6-6"})).status_code == 200


async def test_if_range_holds_for_several(replica: Replica) -> None:
    """A client that has parts of other content gets all of this one."""
    url, content = await push(replica, KIB)
    etag = (await replica.client.head(url)).headers["ETag"]
    several = {"Range": "bytes=0-1,4-5"}
    assert (await replica.client.get(url, headers=several | {"If-Range": etag})).status_code == 206
    whole = await replica.client.get(url, headers=several | {"If-Range": '"other"'})
    assert (whole.status_code, whole.content) == (200, content)


async def test_near_ranges_take_one_call_and_far_ones_one_each(replica: Replica) -> None:
    """A thousand ranges of a layer do not cost a thousand calls where little lies between them."""
    url, content = await push(replica, 3 * PART_BYTES)
    replica.script.begun.clear()
    near = [(start, start + 10) for start in range(0, 100 * 1000, 100)]
    far = [(start, start + 10) for start in (MIB, MIB + 11 + JOIN_BYTES, 2 * MIB)]
    header = "bytes=" + ",".join(f"{start}-{end - 1}" for start, end in near + far)
    answer = await replica.client.get(url, headers={"Range": header})
    assert parts_of(answer, len(content)) == [(start, content[start:end]) for start, end in near + far]
    assert replica.script.begun["open"] == 1 + len(far)


async def test_several_ranges_stay_within_the_budget_and_leave_nothing(replica: Replica) -> None:
    """More bytes than the budget has go through it, and all memory is free afterwards."""
    url, content = await push(replica, 2 * BUDGET_BYTES)
    half = len(content) // 2
    answer = await replica.client.get(url, headers={"Range": f"bytes=0-{half - 1},{half + 1}-"})
    assert parts_of(answer, len(content)) == [(0, content[:half]), (half + 1, content[half + 1 :])]
    assert replica.registry.budget.used_bytes == 0


async def test_several_ranges_are_not_redirected(nursery: trio.Nursery) -> None:
    """Services that speak S3 take one range: they would answer with the whole, or not at all."""
    async with serving(nursery, replace(SETTINGS, storage=REDIRECTING)) as replica:
        url, content = await push(replica, 2 * MIB)
        several = await replica.client.get(url, headers={"Range": "bytes=0-1,4-5"})
        assert parts_of(several, len(content)) == [(0, content[:2]), (4, content[4:6])]
        assert (await replica.client.get(url, headers={"Range": "bytes=0-1"})).status_code == 307


async def test_a_manifest_has_ranges_too(replica: Replica) -> None:
    """Containerd asks for manifests in ranges, as for blobs."""
    await replica.push_image("v1")
    url, content = f"/v2/{REPO}/manifests/v1", image()
    whole = await replica.client.get(url)
    one = await replica.client.get(url, headers={"Range": "bytes=3-"})
    assert (one.status_code, one.content, one.headers["ETag"]) == (206, content[3:], whole.headers["ETag"])
    assert one.headers["Content-Range"] == f"bytes 3-{len(content) - 1}/{len(content)}"
    assert one.headers["Content-Type"] == whole.headers["Content-Type"]
    several = await replica.client.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert parts_of(several, len(content)) == [(0, content[:2]), (5, content[5:7])]
    outside = await replica.client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (outside.status_code, outside.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
