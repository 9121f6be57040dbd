"""Two releases side by side on one bucket, as during a rollout."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.clients import Client
from tests.blackbox.cluster import Cluster, Replica
from tests.blackbox.images import IMAGE_MANIFEST, Layer, Layout, stored_blobs
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs, push_blob, tags
from tests.blackbox.releases import EARLIER, earlier_source
from tests.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket


@pytest.fixture(scope="module", params=list(EARLIER))
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of each earlier release in turn."""
    return earlier_source(request.param, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def mixed(bucket: Bucket, earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a replica of each release behind one balancer; the earlier one met an empty bucket."""
    prefix = f"blackbox-releases-{earlier.name}"
    with running(Cluster(bucket, prefix, tmp_path_factory.mktemp("mixed"), [earlier, None])) as cluster:
        yield cluster


@pytest.fixture(params=["earlier first", "current first"])
def ways(request: pytest.FixtureRequest, mixed: Cluster) -> Iterator[list[httpx.Client]]:
    """Return a client of each replica, in either order; no request may be answered with a 5xx."""
    is_current_first = request.param == "current first"
    order = sorted(mixed.replicas, key=lambda replica: (replica.source is None) != is_current_first)
    before = mixed.log_sizes()
    with http_client(order[0].url) as first, http_client(order[1].url) as second:
        yield [first, second]
    assert [log for name, log in mixed.logs_since(before) if "replica" in name and '"status": 5' in log] == []


@pytest.fixture
def regctl_of_mixed(client_environment: dict[str, str], mixed: Cluster) -> Client:
    """Return regctl, told to push in small chunks."""
    client = Client("regctl", client_environment)
    chunks = ["--blob-max", str(8 << 20), "--blob-chunk", str(3 << 20)]
    client("registry", "set", mixed.address, "--tls", "disabled", *chunks)
    return client


def test_what_one_release_pushes_the_other_one_serves(
    ways: list[httpx.Client], crane: Client, repository: str, index: Layout
) -> None:
    """A real client's push of an index is there at the other release, byte by byte, by tag and in the lists."""
    first, second = ways
    crane("push", index.path, f"{first.base_url.netloc.decode()}/{repository}:v1")
    assert pulled_blobs(second, repository, "v1") == stored_blobs(index.path)
    assert tags(second, repository) == ["v1"]
    crane("tag", f"{second.base_url.netloc.decode()}/{repository}:v1", "v2")
    assert tags(first, repository) == ["v1", "v2"]
    assert pulled_blobs(first, repository, "v2") == stored_blobs(index.path)
    for client in ways:
        assert repository in client.get("/v2/_catalog", params={"n": 1000}).raise_for_status().json()["repositories"]


def test_a_bucket_that_this_release_was_the_first_to_use_is_refused_by_an_earlier_one(
    bucket: Bucket, prefix: str, earlier: Path, tmp_path: Path, repository: str
) -> None:
    """Its collector would delete small blobs. It does not start, and this release goes on."""
    current, late = Replica(0, bucket, prefix, tmp_path), Replica(1, bucket, prefix, tmp_path, source=earlier)
    try:
        current.start()
        late.process.start(lambda: not late.process.is_running)
        assert late.process.ended() != 0
        assert "layout 3" in late.process.log_tail()
        with http_client(current.url) as client:
            digest = push_blob(client, repository, b"kept")
            assert client.get(f"/v2/{repository}/blobs/{digest}").content == b"kept"
    finally:
        for each in (current, late):
            each.process.kill()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_goes_on_at_the_other_release(
    ways: list[httpx.Client], repository: str, layers: list[Layer], algorithm: str
) -> None:
    """Each chunk of an upload goes to the release that did not take the one before, and so does the end."""
    content = f"{repository}{algorithm}".encode() + layers[0].content
    digest = digest_of(content, algorithm)
    begun = ways[0].post(f"/v2/{repository}/blobs/uploads/")
    location = begun.raise_for_status().headers["Location"]
    for number, (start, end) in enumerate(pairwise([0, 1000, len(content) // 3, len(content) // 2])):
        accepted = ways[number % 2].patch(
            location, content=content[start:end], headers={"Content-Range": f"{start}-{end - 1}"}
        )
        assert accepted.status_code == httpx.codes.ACCEPTED, accepted.text
        status = ways[(number + 1) % 2].get(accepted.headers["Location"])
        assert (status.status_code, status.headers["Range"]) == (httpx.codes.NO_CONTENT, f"0-{end - 1}")
        location = status.headers["Location"]
    created = ways[1].put(
        httpx.URL(location).copy_merge_params({"digest": digest}), content=content[len(content) // 2 :]
    )
    assert (created.status_code, created.headers["Docker-Content-Digest"]) == (httpx.codes.CREATED, digest)
    for client in ways:
        assert client.get(f"/v2/{repository}/blobs/{digest}").content == content


def test_a_chunk_that_may_be_a_whole_blob_is_finished_by_a_release_that_knows_where_it_is(
    mixed: Cluster, repository: str
) -> None:
    """An earlier release takes an upload that was kept as data for a cancelled one; its own chunks anybody finishes."""
    content = repository.encode() * 10_000
    ending = {"digest": digest_of(content)}
    [current] = [replica.url for replica in mixed.replicas if replica.source is None]
    [other] = [replica.url for replica in mixed.replicas if replica.source is not None]
    with http_client(current) as knowing, http_client(other) as earlier:
        begun = earlier.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
        location = knowing.patch(begun.headers["Location"], content=content).raise_for_status().headers["Location"]
        last = httpx.URL(location).copy_merge_params(ending)
        for refused in (
            earlier.get(location),
            earlier.patch(location, content=b"more"),
            earlier.put(last),
            earlier.delete(location),
        ):
            assert refused.status_code == httpx.codes.NOT_FOUND, refused.text
            assert refused.json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"
        for client in (knowing, earlier):
            assert client.head(f"/v2/{repository}/blobs/{ending['digest']}").status_code == httpx.codes.NOT_FOUND
        assert knowing.put(last).status_code == httpx.codes.CREATED
        begun = knowing.post(f"/v2/{repository}/other/blobs/uploads/").raise_for_status()
        location = earlier.patch(begun.headers["Location"], content=content).raise_for_status().headers["Location"]
        created = knowing.put(httpx.URL(location).copy_merge_params(ending))
        assert created.status_code == httpx.codes.CREATED
        for client, name in ((knowing, repository), (earlier, repository), (earlier, f"{repository}/other")):
            assert client.get(f"/v2/{name}/blobs/{ending['digest']}").content == content


def test_mounts_and_referrers_cross_the_releases(ways: list[httpx.Client], repository: str) -> None:
    """A blob of one release is mounted at the other, and a manifest there names it and the first one's manifest."""
    first, second = ways
    other = f"{repository}/mounted"
    blob = repository.encode()
    digest = push_blob(first, repository, blob)
    mounted = second.post(f"/v2/{other}/blobs/uploads/", params={"mount": digest, "from": repository})
    assert mounted.status_code == httpx.codes.CREATED
    config = {"mediaType": "application/x", "digest": digest, "size": len(blob)}
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": []}
    put = partial(httpx.Client.put, headers={"Content-Type": IMAGE_MANIFEST})
    subject = put(first, f"/v2/{other}/manifests/v1", json=manifest).raise_for_status()
    named = {
        "mediaType": IMAGE_MANIFEST,
        "digest": digest_of(subject.request.content),
        "size": len(subject.request.content),
    }
    referrer = put(second, f"/v2/{other}/manifests/v2", json={**manifest, "subject": named}).raise_for_status()
    for client in ways:
        listed = client.get(f"/v2/{other}/referrers/{named['digest']}").raise_for_status().json()["manifests"]
        assert [descriptor["digest"] for descriptor in listed] == [digest_of(referrer.request.content)]


def test_a_client_meets_both_releases_within_one_push(
    mixed: Cluster, regctl_of_mixed: Client, crane: Client, repository: str, layers: list[Layer], tmp_path: Path
) -> None:
    """Behind a balancer that alternates, pushes in chunks, copies and pulls pass, and no answer is a 5xx."""
    image = Layout(tmp_path / "layout")
    fresh = Layer(repository.encode() + layers[0].content, layers[0].diff_id)
    image.tag(image.add_image([fresh, *layers[1:]]), "image")
    before = mixed.balancer.process.log_size()
    regctl_of_mixed("image", "copy", f"ocidir://{image.path}:image", f"{mixed.address}/{repository}:v1")
    crane("copy", f"{mixed.address}/{repository}:v1", f"{mixed.address}/{repository}/copy:v1")
    with http_client(mixed.url) as client:
        for name in (repository, f"{repository}/copy"):
            assert pulled_blobs(client, name, "v1") == stored_blobs(image.path)
    passed = mixed.balancer.requests(before)
    assert any(request.method == "PATCH" for request in passed)
    assert [request for request in passed if request.status >= 500] == []
