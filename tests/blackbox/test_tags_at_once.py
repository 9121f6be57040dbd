"""Many tags pushed at the same moment through both replicas: none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import trio

from tests.blackbox.images import IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST, as_json
from tests.blackbox.registry_api import DEADLINE_S, digest_of, http_client, push_blob, tags

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.blackbox.cluster import Cluster

TAGS = 200
TAGS_OF_ONE_MANIFEST = 22
RACERS = 12


def test_tags_pushed_at_once_are_all_there(cluster: Cluster, repository: str) -> None:
    """Of 200 images tagged at once, each request to the other replica, both replicas list and serve every one."""
    manifests = image_manifests(cluster, repository, TAGS)
    trio.run(push_at_once, cluster, repository, manifests.items())
    for replica in cluster.replicas:
        with http_client(replica.url) as client:
            assert sorted(tags(client, repository)) == sorted(manifests)
            served = {tag: client.get(f"/v2/{repository}/manifests/{tag}") for tag in manifests}
        assert {tag: answer.content for tag, answer in served.items()} == manifests
        assert {tag: answer.headers["Docker-Content-Digest"] for tag, answer in served.items()} == {
            tag: digest_of(manifest) for tag, manifest in manifests.items()
        }


def test_tags_of_one_manifest_go_with_it(cluster: Cluster, repository: str) -> None:
    """Tags set at once on one manifest are all there, and all gone at the other replica once it is deleted."""
    [manifest] = image_manifests(cluster, repository, 1).values()
    manifests = {f"same-{number}": manifest for number in range(TAGS_OF_ONE_MANIFEST)}
    trio.run(push_at_once, cluster, repository, manifests.items())
    with http_client(cluster.replicas[0].url) as first, http_client(cluster.replicas[1].url) as second:
        assert sorted(tags(first, repository)) == sorted(manifests)
        deleted = first.delete(f"/v2/{repository}/manifests/{digest_of(manifest)}")
        assert deleted.status_code == httpx.codes.ACCEPTED
        found = {second.get(f"/v2/{repository}/manifests/{tag}").status_code for tag in manifests}
        assert found == {httpx.codes.NOT_FOUND}
        assert tags(second, repository) == []


def test_one_tag_pushed_at_once_is_one_of_the_manifests(cluster: Cluster, repository: str) -> None:
    """Manifests that race for one tag leave it the same at both replicas, and outlive the deletion of the losers."""
    manifests = image_manifests(cluster, repository, RACERS)
    trio.run(push_at_once, cluster, repository, [("contested", manifest) for manifest in manifests.values()])
    with http_client(cluster.replicas[0].url) as first, http_client(cluster.replicas[1].url) as second:
        winner = first.get(f"/v2/{repository}/manifests/contested")
        assert winner.content in manifests.values()
        for loser in set(manifests.values()) - {winner.content}:
            deleted = first.delete(f"/v2/{repository}/manifests/{digest_of(loser)}")
            assert deleted.status_code == httpx.codes.ACCEPTED
        assert second.get(f"/v2/{repository}/manifests/contested").content == winner.content
        assert tags(second, repository) == ["contested"]


def image_manifests(cluster: Cluster, repository: str, count: int) -> dict[str, bytes]:
    """Push one configuration and one layer and return that many different manifests of them by tag."""
    config, layer = b'{"architecture": "amd64", "os": "linux"}', b"the layer of all these images"
    with http_client(cluster.url) as client:
        digests = [push_blob(client, repository, content) for content in (config, layer)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": {"mediaType": IMAGE_CONFIG, "digest": digests[0], "size": len(config)},
        "layers": [{"mediaType": IMAGE_LAYER, "digest": digests[1], "size": len(layer)}],
    }
    return {
        f"tag-{number:03}": as_json({**manifest, "annotations": {"number": str(number)}}) for number in range(count)
    }


async def push_at_once(cluster: Cluster, repository: str, pushes: Collection[tuple[str, bytes]]) -> None:
    """Push every manifest under its tag at the same time, each next request to the next replica."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=DEADLINE_S, limits=limits) as client, trio.open_nursery() as nursery:
        for number, (tag, manifest) in enumerate(pushes):
            replica = cluster.replicas[number % len(cluster.replicas)]
            nursery.start_soon(push_manifest, client, f"{replica.url}/v2/{repository}/manifests/{tag}", manifest)


async def push_manifest(client: httpx.AsyncClient, url: str, manifest: bytes) -> None:
    """Push one manifest, which must be acknowledged."""
    answer = await client.put(url, content=manifest, headers={"Content-Type": IMAGE_MANIFEST})
    assert answer.status_code == httpx.codes.CREATED, answer.text
