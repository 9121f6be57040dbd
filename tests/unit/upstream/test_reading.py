"""Manifests, blobs and lists of an upstream that answers as it should, and of one that does not."""

from __future__ import annotations

import json
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.s3.scripted import Drop, Endless, Reply, Seen, Stall
from tests.unit.still_clock import passing
from tests.unit.upstream.upstreams import (
    BLOB,
    BLOB_PATH,
    DIGEST,
    IMAGE,
    IMAGE_DIGEST,
    IMAGE_TYPE,
    MANIFEST,
    REPO,
    ranged,
    read,
    running,
    upstream_and_client,
)
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_INDEX
from zotpy.upstream import NotAtUpstream, UpstreamBroken, UpstreamRefused, UpstreamUnavailable
from zotpy.upstream.pages import MOST_SIGNS
from zotpy.upstream.registry import MOST_REFERRER_PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

GOOD = Reply(200, IMAGE, {"Content-Type": IMAGE_TYPE, "Docker-Content-Digest": str(IMAGE_DIGEST)})


async def test_a_manifest_comes_as_it_was_pushed() -> None:
    """A manifest has its bytes, its media type without parameters, and its digest; HEAD says the same."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[MANIFEST] = [
            Reply(200, IMAGE, {**GOOD.headers, "Content-Type": f"{IMAGE_TYPE}; charset=utf-8"})
        ]
        body = await client.get_manifest(REPO, "latest")
        head = await client.head_manifest(REPO, "latest")
    assert (body.content, body.media_type, body.digest) == (IMAGE, IMAGE_TYPE, IMAGE_DIGEST)
    assert (head.digest, head.media_type, head.length) == (IMAGE_DIGEST, IMAGE_TYPE, len(IMAGE))
    assert OCI_INDEX in upstream.seen[0].headers["accept"]


async def test_head_says_only_what_the_upstream_says() -> None:
    """Without the headers, digest and media type are not known."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[MANIFEST] = [Reply(200, b"", {"Docker-Content-Digest": "nonsense"})]
        head = await client.head_manifest(REPO, "latest")
    assert (head.digest, head.media_type) == (None, "")


@pytest.mark.parametrize("reference", ["latest", str(IMAGE_DIGEST)])
async def test_a_manifest_with_another_digest_is_refused(reference: str) -> None:
    """It must have the digest of the reference, or the one that the upstream names."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[f"/v2/{REPO}/manifests/{reference}"] = [Reply(200, b'{"other": 1}', GOOD.headers)]
        with pytest.raises(UpstreamBroken, match="with the digest"):
            await client.get_manifest(REPO, reference)


async def test_a_long_manifest_is_refused() -> None:
    """No more than the limit is read, even if the manifest never ends."""
    async with upstream_and_client(longest_manifest_bytes=100_000) as (upstream, client):
        upstream.scripts[MANIFEST] = [Endless(b"{" * 50_000)]
        with pytest.raises(UpstreamBroken, match="longer than 100000 bytes"):
            await client.get_manifest(REPO, "latest")


async def test_the_path_of_the_url_is_a_prefix_of_names() -> None:
    """A project of Harbor, for example, can be an upstream of its own."""
    async with running() as upstream, upstream.client(url=f"{upstream.url}/project/") as client:
        upstream.scripts["/v2/project/team/app/manifests/latest"] = [GOOD]
        upstream.scripts["/v2/_catalog"] = [Reply(200, b'{"repositories":["project/team/app","other"]}')]
        await client.get_manifest(REPO, "latest")
        assert [name async for name in client.repositories()] == [REPO]


@pytest.mark.parametrize("length_is_told", [True, False])
async def test_a_blob_comes_in_pieces(length_is_told: bool) -> None:  # noqa: FBT001 - a parameter
    """A blob comes whole, also if the upstream does not say its length."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB, chunked=not length_is_told)]
        async with client.blob(REPO, DIGEST) as stream:
            assert stream.length == (len(BLOB) if length_is_told else None)
            pieces = [piece async for piece in stream.pieces()]
    assert b"".join(pieces) == BLOB
    assert len(pieces) > 1


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_a_blob_can_begin_in_the_middle(knows_ranges: bool) -> None:  # noqa: FBT001 - a parameter
    """The bytes before the start are not handed out, even if the upstream sends them."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [ranged if knows_ranges else Reply(200, BLOB)]
        async with client.blob(REPO, DIGEST, 70_000) as stream:
            assert stream.length == len(BLOB)
            assert b"".join([piece async for piece in stream.pieces()]) == BLOB[70_000:]


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_a_blob_that_is_cut_goes_on(knows_ranges: bool) -> None:  # noqa: FBT001 - a parameter
    """Each byte comes once, although the upstream breaks off twice."""
    async with upstream_and_client(retries=2) as (upstream, client):
        answer = ranged if knows_ranges else lambda _, cut_to=None: Reply(200, BLOB, cut_to=cut_to)
        upstream.scripts[BLOB_PATH] = [partial(answer, cut_to=90_001), partial(answer, cut_to=100_000), answer]
        assert await read(client) == BLOB
    assert len(upstream.seen) == 3


async def test_a_blob_that_is_cut_too_often_fails() -> None:
    """The settings say how often it goes on."""
    async with upstream_and_client(retries=2) as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB, cut_to=10)]
        with pytest.raises(UpstreamUnavailable, match="breaks off"):
            await read(client)
    assert len(upstream.seen) == 3


async def test_another_part_than_was_asked_for_is_refused() -> None:
    """A gap in a blob would be noticed only when all of it is here."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(206, BLOB[500:], {"Content-Range": f"bytes 500-{len(BLOB) - 1}/*"})]
        with pytest.raises(UpstreamBroken, match="another part"):
            await read(client, 400)
        upstream.scripts[BLOB_PATH] = [Reply(206, BLOB)]
        with pytest.raises(UpstreamBroken, match="without saying which"):
            await read(client, 400)


async def test_a_blob_that_changes_its_length_is_refused() -> None:
    """After an interruption it must still be the same blob."""
    async with upstream_and_client(retries=1) as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB, cut_to=100_000), partial(ranged, content=BLOB + b"more")]
        with pytest.raises(UpstreamBroken, match="another part"):
            await read(client)


async def test_a_slow_upstream_is_given_up(mock_clock: MockClock) -> None:
    """No head within its time, no bytes within theirs: neither waits for ever."""
    async with upstream_and_client() as (upstream, client), passing(mock_clock):
        upstream.scripts[MANIFEST] = [Stall()]
        begun = trio.current_time()
        with pytest.raises(UpstreamUnavailable, match="does not answer in time"):
            await client.head_manifest(REPO, "latest")
        assert 30 <= trio.current_time() - begun < 32


async def test_what_does_not_exist_and_what_is_refused() -> None:
    """404 is not found; 403 is refused, which is not found for who does not care. The upstream's words are told."""
    async with upstream_and_client() as (upstream, client):
        with pytest.raises(NotAtUpstream, match="status 404: NAME_UNKNOWN never heard of it"):
            await client.get_manifest(REPO, "latest")
        upstream.scripts[MANIFEST] = [Reply(403, b"<html>")]
        with pytest.raises(UpstreamRefused, match=r"status 403$"):
            await client.get_manifest(REPO, "latest")
        with pytest.raises(NotAtUpstream):
            await read(client)


async def test_passing_trouble_is_waited_out(mock_clock: MockClock) -> None:
    """429, 5xx and a lost connection are repeated, after the time that Retry-After asks for."""
    async with upstream_and_client(retries=3) as (upstream, client), passing(mock_clock):
        upstream.scripts[MANIFEST] = [Reply(429, headers={"Retry-After": "7"}), Reply(500), Drop(), GOOD]
        begun = trio.current_time()
        assert (await client.get_manifest(REPO, "latest")).content == IMAGE
        assert 7 <= trio.current_time() - begun < 9


async def test_trouble_that_lasts_is_told() -> None:
    """Without repetitions, or if the upstream asks for a longer wait than is allowed, the caller decides."""
    async with upstream_and_client(retries=3, longest_retry_delay_s=60.0) as (upstream, client):
        limit = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'
        upstream.scripts[MANIFEST] = [Reply(429, limit, {"Retry-After": "3600", "RateLimit-Remaining": "0;w=21600"})]
        with pytest.raises(UpstreamUnavailable, match="reached your pull rate limit") as caught:
            await client.get_manifest(REPO, "latest")
        assert caught.value.retry_after_s == 3600
        assert client.ratelimit_remaining == 0
    assert len(upstream.seen) == 1


async def test_an_upstream_that_is_down() -> None:
    """Nobody listens."""
    async with running() as upstream:
        settings = upstream.settings()
    from zotpy.upstream import open_upstream  # noqa: PLC0415 - beside its use

    async with open_upstream(settings) as client:
        with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
            await client.head_manifest(REPO, "latest")


async def test_no_more_requests_than_allowed_run_at_once() -> None:
    """A blob that is being read counts, so with one place the next request waits for its end."""
    async with upstream_and_client(requests_in_flight=1) as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB)]
        upstream.scripts[MANIFEST] = [GOOD]
        async with trio.open_nursery() as nursery, client.blob(REPO, DIGEST) as stream:
            nursery.start_soon(client.get_manifest, REPO, "latest")
            await trio.testing.wait_all_tasks_blocked()
            assert upstream.asked == [BLOB_PATH]
            assert [piece async for piece in stream.pieces()] != []
    assert upstream.asked == [BLOB_PATH, MANIFEST]


async def test_requests_begin_no_faster_than_allowed(mock_clock: MockClock) -> None:
    """Of four requests, the last begins 1.5 s after the first if there may be two in a second."""
    async with upstream_and_client(requests_per_second=2.0) as (upstream, client), passing(mock_clock):
        upstream.scripts[MANIFEST] = [GOOD]
        begun = trio.current_time()
        for _ in range(4):
            await client.head_manifest(REPO, "latest")
        assert 1.5 <= trio.current_time() - begun < 2.5


async def test_tags_come_from_all_pages() -> None:
    """The next page is one of the same host, whatever host the Link names."""
    async with upstream_and_client() as (upstream, client):
        first, second = f"/v2/{REPO}/tags/list?n=1000", f"/v2/{REPO}/tags/list?n=1000&last=b"
        link = {"Link": f'<http://inside.invalid{second}>; rel="next"'}
        upstream.scripts[first] = [Reply(200, b'{"name":"team/app","tags":["a","b"]}', link)]
        upstream.scripts[second] = [Reply(200, b'{"name":"team/app","tags":["c"]}')]
        assert [tag async for tag in client.tags(REPO)] == ["a", "b", "c"]
        upstream.scripts[first] = [Reply(200, b'{"name":"team/app","tags":null}')]
        assert [tag async for tag in client.tags(REPO)] == []


async def test_pages_that_go_in_a_circle_end() -> None:
    """A page that comes a second time is the end."""
    async with upstream_and_client() as (upstream, client):
        link = {"Link": f"</v2/{REPO}/tags/list?again=1>; rel=next"}
        upstream.scripts[f"/v2/{REPO}/tags/list"] = [Reply(200, b'{"tags":["a"]}', link)]
        assert [tag async for tag in client.tags(REPO)] == ["a"]


def endless(name: str) -> Callable[[Seen], Reply]:
    """Answer each page of tags with a few new ones, and say that another page follows."""
    numbers = count()

    def page(_: Seen) -> Reply:
        number = next(numbers)
        link = {"Link": f"</v2/{REPO}/tags/list?last={number}>; rel=next"}
        return Reply(200, json.dumps({"tags": [f"{name}{number}", f"{name}{number}-slim"]}).encode(), link)

    return page


@pytest.mark.parametrize(("name", "pages"), [("v", 11), ("v" * 99, 5)])
async def test_tags_that_never_end_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, pages: int) -> None:
    """Neither many tags nor long ones fill the memory of the one who holds them all."""
    monkeypatch.setattr("zotpy.upstream.lists.MOST_TAGS", 20)
    monkeypatch.setattr("zotpy.upstream.lists.LONGEST_TAGS_BYTES", 1000)
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[f"/v2/{REPO}/tags/list"] = [endless(name)]
        with pytest.raises(UpstreamBroken, match=f"the list of tags of {REPO} at .* is longer than 20 tags"):
            assert [tag async for tag in client.tags(REPO)]
        assert len(upstream.seen) == pages


@pytest.mark.parametrize("page", [b"[]", b"{", b'{"tags": "a"}', b'{"tags": [1]}'])
async def test_a_page_that_is_no_page_is_refused(page: bytes) -> None:
    """What cannot be read is the upstream's fault."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[f"/v2/{REPO}/tags/list"] = [Reply(200, page)]
        with pytest.raises(UpstreamBroken):
            assert [tag async for tag in client.tags(REPO)]


async def test_a_list_of_referrers_is_bounded() -> None:
    """Neither empty pages that never end nor a page of many values hold up a replica."""
    target = f"/v2/{REPO}/referrers/{IMAGE_DIGEST}"
    async with upstream_and_client() as (upstream, client):

        def page(_: Seen) -> Reply:
            link = f"<{target}?last={len(upstream.seen)}>; rel=next"
            return Reply(200, b'{"manifests":[]}', {"Content-Type": OCI_INDEX, "Link": link})

        upstream.scripts[target] = [page]
        assert await client.referrers(REPO, IMAGE_DIGEST) == []
        assert len(upstream.seen) == MOST_REFERRER_PAGES
        upstream.scripts[target] = [
            Reply(200, b'{"manifests":[' + b"{}," * MOST_SIGNS + b"{}]}", {"Content-Type": OCI_INDEX})
        ]
        with pytest.raises(UpstreamBroken, match="more values"):
            await client.referrers(REPO, IMAGE_DIGEST)


async def test_referrers_come_from_the_api_or_from_the_tag() -> None:
    """An upstream without the API has an index under a tag that its clients maintain."""
    other = {"mediaType": IMAGE_TYPE, "digest": str(Digest.of(b"1")), "size": 1}
    listed = json.dumps({"manifests": [other]}).encode()
    async with upstream_and_client() as (upstream, client):
        assert await client.referrers(REPO, IMAGE_DIGEST) == []
        upstream.scripts[f"/v2/{REPO}/manifests/sha256-{IMAGE_DIGEST.hex}"] = [
            Reply(200, listed, {"Content-Type": OCI_INDEX})
        ]
        assert await client.referrers(REPO, IMAGE_DIGEST) == [other]
        upstream.scripts[f"/v2/{REPO}/referrers/{IMAGE_DIGEST}"] = [
            Reply(200, b'{"manifests":[]}', {"Content-Type": OCI_INDEX})
        ]
        assert await client.referrers(REPO, IMAGE_DIGEST) == []
