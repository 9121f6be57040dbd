"""Pulls that are sent to the store: which are, and what the answer says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import ABSENT, REDIRECTING, REPO, SETTINGS, Replica, codes_of, ended, push_zeros, serving
from zotpy.core.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio


@pytest.fixture
async def redirecting(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that redirects for five minutes."""
    async with serving(nursery, replace(SETTINGS, storage=REDIRECTING)) as opened:
        yield opened


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-"}])
async def test_a_large_blob_is_read_at_the_store(redirecting: Replica, headers: dict[str, str]) -> None:
    """A GET, for a range too, is answered 307 without a body, with an URL that no cache may keep."""
    digest = await push_zeros(redirecting, 2 * MIB)
    answer = await redirecting.client.get(f"/v2/{REPO}/blobs/{digest}", headers=headers)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith("memory:///data/")
    assert "expires=300" in answer.headers["Location"]
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Length"] == "0"
    assert "Content-Type" not in answer.headers
    assert (await redirecting.ended.receive()).sent_bytes == 0
    assert redirecting.script.begun["open"] == 0


async def test_what_can_be_answered_here_is(redirecting: Replica) -> None:
    """HEAD, a blob that the client has, one that is not there, and a range outside need no second request."""
    digest = await push_zeros(redirecting, 2 * MIB)
    url = f"/v2/{REPO}/blobs/{digest}"
    head = await redirecting.client.head(url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(2 * MIB))
    unchanged = await redirecting.client.get(url, headers={"If-None-Match": f'"{digest}"'})
    assert unchanged.status_code == 304
    outside = await redirecting.client.get(url, headers={"Range": f"bytes={2 * MIB}-"})
    assert (outside.status_code, outside.headers["Content-Range"]) == (416, f"bytes */{2 * MIB}")
    assert codes_of(await redirecting.client.get(f"/v2/{REPO}/blobs/{ABSENT}")) == ["BLOB_UNKNOWN"]


async def test_a_small_blob_is_answered_here(redirecting: Replica) -> None:
    """A blob that lives in its record has no object of its own to be read."""
    content = bytes(KIB)
    digest = await redirecting.push_blob(content)
    answer = await redirecting.client.get(f"/v2/{REPO}/blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, content)


async def test_nothing_is_redirected_unless_asked_for(replica: Replica) -> None:
    """Without the setting a large blob comes through the replica."""
    digest = await push_zeros(replica, 2 * MIB)
    answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, bytes(2 * MIB))
    assert await ended(replica, "GET") == 200
