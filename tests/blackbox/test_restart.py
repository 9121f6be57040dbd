"""A replica that is killed loses nothing that it acknowledged, and the other one carries on."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.balancer import answers
from tests.blackbox.cluster import Cluster
from tests.blackbox.images import Layer, Layout, stored_blobs
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs
from tests.processes import POLL_S, STOP_DEADLINE_S, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.blackbox.clients import Client
    from tests.servers import Bucket


@pytest.fixture(scope="module")
def mortal_cluster(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running cluster whose replicas may be killed."""
    with running(Cluster(bucket, "blackbox-restart", tmp_path_factory.mktemp("mortal"))) as cluster:
        yield cluster


@pytest.fixture
def mortal(mortal_cluster: Cluster) -> Iterator[Cluster]:
    """Return the cluster with both replicas alive, and start again whichever the test killed."""
    yield mortal_cluster
    for replica in mortal_cluster.replicas:
        if not replica.process.is_running:
            replica.start()


def test_push_outlives_its_replica(mortal: Cluster, crane: Client, repository: str, index: Layout) -> None:
    """What one replica acknowledged is pulled whole from the other after the first was killed."""
    first, second = mortal.replicas
    crane("push", index.path, f"{first.url.removeprefix('http://')}/{repository}:v1")
    first.process.kill()
    with http_client(second.url) as client:
        assert pulled_blobs(client, repository, "v1") == stored_blobs(index.path)


def test_push_outlives_a_restart_of_every_replica(
    mortal: Cluster, crane: Client, repository: str, image: Layout
) -> None:
    """After all replicas were killed and started again, every byte and the tag are still there."""
    crane("push", image.path, f"{mortal.address}/{repository}:v1")
    for replica in mortal.replicas:
        replica.process.kill()
    for replica in mortal.replicas:
        replica.start()
    with http_client(mortal.url) as client:
        assert pulled_blobs(client, repository, "v1") == stored_blobs(image.path)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_upload_goes_on_at_the_other_replica(
    mortal: Cluster, repository: str, layers: list[Layer], algorithm: str
) -> None:
    """An upload whose replica dies between chunks is asked about, continued and finished at the other."""
    content = algorithm.encode() + layers[0].content
    cuts = [len(content) // 3, len(content) // 2]
    first, second = mortal.replicas
    with http_client(first.url) as client:
        started = client.post(f"/v2/{repository}/blobs/uploads/")
        accepted = client.patch(started.headers["Location"], content=content[: cuts[0]])
        assert accepted.status_code == httpx.codes.ACCEPTED
    first.process.kill()

    with http_client(second.url) as client:
        status = client.get(accepted.headers["Location"])
        assert (status.status_code, status.headers["Range"]) == (httpx.codes.NO_CONTENT, f"0-{cuts[0] - 1}")
        chunk = {"Content-Range": f"{cuts[0]}-{cuts[1] - 1}"}
        accepted = client.patch(status.headers["Location"], content=content[cuts[0] : cuts[1]], headers=chunk)
        assert accepted.status_code == httpx.codes.ACCEPTED
        digest = digest_of(content, algorithm)
        location = httpx.URL(accepted.headers["Location"]).copy_merge_params({"digest": digest})
        created = client.put(location, content=content[cuts[1] :])
        assert (created.status_code, created.headers["Docker-Content-Digest"]) == (httpx.codes.CREATED, digest)
        assert client.get(f"/v2/{repository}/blobs/{digest}").content == content


def test_upload_cut_off_by_the_death_of_its_replica_is_never_visible(
    mortal: Cluster, repository: str, layers: list[Layer]
) -> None:
    """A blob whose replica was killed in the middle of its body does not exist, and can be pushed at the other."""
    content = b"cut" + layers[0].content
    digest = digest_of(content)
    first, second = mortal.replicas

    def body_with_a_kill() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        first.process.kill()
        yield content[len(content) // 2 :]

    upload = f"/v2/{repository}/blobs/uploads/?digest={digest}"
    with http_client(first.url) as client, pytest.raises(httpx.TransportError):
        client.post(upload, content=body_with_a_kill())
    with http_client(second.url) as client:
        assert client.head(f"/v2/{repository}/blobs/{digest}").status_code == httpx.codes.NOT_FOUND
        assert client.post(upload, content=content).status_code == httpx.codes.CREATED
        assert client.get(f"/v2/{repository}/blobs/{digest}").content == content


def test_replica_told_to_stop_finishes_what_it_began(mortal: Cluster, repository: str, layers: list[Layer]) -> None:
    """A replica that gets SIGTERM in the middle of a push takes no new connections, but acknowledges that push."""
    content = b"drained" + layers[0].content
    digest = digest_of(content)
    first, second = mortal.replicas

    stopping = Thread(target=first.process.stop)

    def body_with_a_stop() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        stopping.start()
        give_up_at = time.monotonic() + STOP_DEADLINE_S
        while answers(first.url):
            assert time.monotonic() < give_up_at
            time.sleep(POLL_S)
        yield content[len(content) // 2 :]

    with http_client(first.url) as client:
        created = client.post(f"/v2/{repository}/blobs/uploads/?digest={digest}", content=body_with_a_stop())
    stopping.join()
    assert created.status_code == httpx.codes.CREATED
    with http_client(second.url) as client:
        assert client.get(f"/v2/{repository}/blobs/{digest}").content == content
