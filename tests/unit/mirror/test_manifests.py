"""Manifests of a mirrored repository: asked for as seldom as the settings say, and served when the upstream is down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.unit.mirror.support import LOCAL, NAME, OF_HARBOR, TAG_HERE, TAG_THERE, give, image, manifest, world
from tests.unit.s3.scripted import Drop, Reply, Stall
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.inspection.checking import Checker

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.unit.s3.scripted import Act

HEAD_TIMEOUT_S = 31.0
"""More than an upstream may take for the head of an answer."""
V1, V2 = image("one"), image("two")


def requests(upstream: object) -> list[tuple[str, str]]:
    """Return method and target of what an upstream was asked, and forget it."""
    seen = upstream.seen  # type: ignore[attr-defined]
    found = [(each.method, each.target) for each in seen]
    seen.clear()
    return found


async def test_a_tag_is_fetched_once_and_then_only_asked_for() -> None:
    """The first pull is one GET at the upstream, each further one a HEAD; the bytes are those of the upstream."""
    async with world() as (upstream, replica):
        digest = give(upstream, V1)
        first = await replica.client.get(TAG_HERE)
        assert (first.status_code, first.content) == (200, V1)
        assert first.headers["Docker-Content-Digest"] == digest
        assert first.headers["Content-Type"] == OCI_IMAGE
        assert requests(upstream) == [("GET", TAG_THERE)]
        again = await replica.client.head(TAG_HERE)
        assert (again.status_code, again.headers["Content-Length"]) == (200, str(len(V1)))
        assert "Warning" not in again.headers
        assert requests(upstream) == [("HEAD", TAG_THERE)]


async def test_within_the_interval_nobody_is_asked() -> None:
    """What one replica asked counts for all: the note is in the bucket."""
    async with world(check_interval_s=60.0) as (upstream, replica):
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        upstream.seen.clear()
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert requests(upstream) == []
        assert await Checker(replica.store).run() is not None


async def test_a_digest_is_never_asked_for_again() -> None:
    """Content that never changes needs no upstream once it is here."""
    async with world() as (upstream, replica):
        digest = give(upstream, V1)
        for _ in range(2):
            assert (await replica.client.get(f"/v2/{LOCAL}/manifests/{digest}")).content == V1
        assert requests(upstream) == [("GET", f"/v2/{NAME}/manifests/{digest}")]


async def test_a_tag_follows_its_upstream() -> None:
    """A tag that moved is fetched by the digest that HEAD has said."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        second = give(upstream, V2)
        upstream.seen.clear()
        assert (await replica.client.get(TAG_HERE)).content == V2
        assert requests(upstream) == [("HEAD", TAG_THERE), ("GET", f"/v2/{NAME}/manifests/{second}")]


@pytest.mark.parametrize(
    "trouble", [Reply(503), Reply(429, headers={"Retry-After": "7"}), OF_HARBOR, Drop(), Reply(404)]
)
async def test_what_is_here_is_served_if_the_upstream_gives_nothing(trouble: Act) -> None:
    """A warning says that it may be old."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        upstream.scripts[TAG_THERE] = [trouble]  # type: ignore[list-item]
        answer = await replica.client.get(TAG_HERE)
        assert (answer.status_code, answer.content) == (200, V1)
        assert answer.headers["Warning"].startswith(("110 - ", "111 - "))


async def test_what_is_here_is_served_if_the_upstream_does_not_answer_in_time(mock_clock: MockClock) -> None:
    """The client waits for that once. The next one does not, because the upstream is left alone for a while."""
    del mock_clock  # the upstream moves it
    async with world() as (upstream, replica):
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        upstream.scripts[TAG_THERE] = [Stall()]
        replica.client.timeout = httpx.Timeout(None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upstream.server.when_silent, len(upstream.seen) + 1, HEAD_TIMEOUT_S)
            answers = [await replica.client.get(TAG_HERE) for _ in range(2)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(200, V1)] * 2
        assert all(answer.headers["Warning"].startswith("111 - ") for answer in answers)
        assert len(requests(upstream)) == 2


async def test_an_upstream_that_asks_for_rest_gets_it() -> None:
    """After a 429 it is not asked again until its Retry-After is over, and the client is told how long to wait."""
    async with world() as (upstream, replica):
        upstream.scripts[TAG_THERE] = [Reply(429, headers={"Retry-After": "30"})]
        for _ in range(3):
            answer = await replica.client.get(TAG_HERE)
            assert answer.status_code == 429
            assert 20 <= int(answer.headers["Retry-After"]) <= 31
        assert len(requests(upstream)) == 1


async def test_what_no_upstream_has_is_remembered() -> None:
    """For a minute nobody is asked again."""
    async with world() as (upstream, replica):
        for _ in range(3):
            answer = await replica.client.get(TAG_HERE)
            assert answer.status_code == 404
            assert answer.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
        assert requests(upstream) == [("GET", TAG_THERE)]


async def test_a_tag_that_was_pushed_here_is_ours() -> None:
    """No upstream is asked for it, and none replaces it."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        ours = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
        headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        assert (await replica.client.put(TAG_HERE, content=ours, headers=headers)).status_code == 201
        assert (await replica.client.get(TAG_HERE)).content == ours
        assert requests(upstream) == []


async def test_a_tag_that_is_immutable_here_stays() -> None:
    """It is fetched once. No upstream is asked for it again, as nothing that one says could change it."""
    async with world(immutable=[TAG_HERE.rpartition("/")[2]]) as (upstream, replica):
        give(upstream, V1)
        assert (await replica.client.get(TAG_HERE)).content == V1
        give(upstream, V2)
        upstream.seen.clear()
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert requests(upstream) == []


@pytest.mark.parametrize("has_old", [False, True])
async def test_a_tag_that_is_pushed_during_a_fetch_stays(*, has_old: bool) -> None:
    """A push comes while the upstream is slow: the pull, which began before, gives either. Nothing replaces ours."""
    ours = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    async with world() as (upstream, replica):
        if has_old:
            give(upstream, V1)
            assert (await replica.client.get(TAG_HERE)).content == V1
        gate, digest = trio.Event(), give(upstream, V2)
        slow = replace(manifest(V2), gate=gate)
        upstream.scripts[f"/v2/{NAME}/manifests/{digest}"] = [slow]
        upstream.scripts[TAG_THERE] = [lambda seen: manifest(V2) if seen.method == "HEAD" else slow]
        upstream.seen.clear()
        pulled = list[bytes]()

        async def pull() -> None:
            pulled.append((await replica.client.get(TAG_HERE)).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            while not any(each.method == "GET" for each in upstream.seen):
                await trio.lowlevel.checkpoint()
            assert (await replica.client.put(TAG_HERE, content=ours, headers=headers)).status_code == 201
            gate.set()
        assert pulled[0] in {ours, V2}
        assert (await replica.client.get(TAG_HERE)).content == ours


async def test_other_repositories_are_not_asked_for() -> None:
    """A name outside the configured content comes from nowhere."""
    async with world() as (upstream, replica):
        assert (await replica.client.get(f"/v2/{NAME}/manifests/v1")).status_code == 404
        assert requests(upstream) == []


async def test_a_mirrored_manifest_needs_nothing_yet() -> None:
    """Its blobs come when a client asks for them, and fsck does not miss them; a pushed one needs them as ever."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        await replica.client.get(TAG_HERE)
        report = await Checker(replica.store).run()
        assert report.problems == []
        upstream.scripts.clear()
        answer = await replica.client.put(
            f"/v2/{LOCAL}/manifests/mine", content=V2, headers={"Content-Type": OCI_IMAGE}
        )
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


@pytest.mark.parametrize("told", ["text/html; charset=utf-8", "application/octet-stream", "application/json"])
async def test_a_type_that_says_nothing_is_not_kept(told: str) -> None:
    """What the manifest says of itself counts: a browser must not be told that it is a page."""
    async with world() as (upstream, replica):
        upstream.scripts[TAG_THERE] = [Reply(200, V1, {"Content-Type": told})]
        for _ in range(2):
            assert (await replica.client.get(TAG_HERE)).headers["Content-Type"] == OCI_IMAGE


async def test_wrong_bytes_are_not_kept() -> None:
    """A manifest that has another digest than it should is an error of the upstream's, and nothing is stored."""
    async with world() as (upstream, replica):
        digest = Digest.of(V1)
        upstream.scripts[f"/v2/{NAME}/manifests/{digest}"] = [Reply(200, V2, {"Content-Type": OCI_IMAGE})]
        answer = await replica.client.get(f"/v2/{LOCAL}/manifests/{digest}")
        assert answer.status_code == 429
        assert not [key for key in replica.store.objects if key.startswith(("entries/", "tags/"))]
