"""Real clients at real replicas through `deploy/baremetal`'s HAProxy: by host name, with TLS, and under prefixes."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.images import Layer, Layout, stored_blobs
from tests.blackbox.registry_api import DEADLINE_S, digest_of, push_blob, tags
from tests.deploy.edge import Edge
from tests.deploy.replicas import REPLICAS, replicas
from tests.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.servers import Bucket

CHUNK_BYTES = 3 << 20


@pytest.fixture(scope="module")
def ports(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Return the ports of running replicas."""
    with replicas(bucket, "deploy-haproxy", tmp_path_factory.mktemp("replicas")) as found:
        yield found


@pytest.fixture(scope="module")
def edge(ports: Sequence[int], certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Return HAProxy with TLS in front of the replicas."""
    with running(Edge(ports, tmp_path_factory.mktemp("edge"), certificate=certificate)) as found:
        yield found


@pytest.fixture(scope="module")
def shared_edge(ports: Sequence[int], certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Return HAProxy with TLS, which serves the registry by host name and under two prefixes."""
    directory = tmp_path_factory.mktemp("shared-edge")
    with running(Edge(ports, directory, template="haproxy-prefix.cfg", certificate=certificate)) as found:
        yield found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> dict[str, str]:
    """Return the environment in which clients trust the test's certificate and see nothing of this machine."""
    return isolated_environment(tmp_path_factory.mktemp("home")) | {"SSL_CERT_FILE": str(certificate.parent / "ca.crt")}


@pytest.fixture
def crane(environment: dict[str, str]) -> Client:
    """Return crane."""
    return Client("crane", environment)


@pytest.fixture
def skopeo(environment: dict[str, str]) -> Client:
    """Return skopeo."""
    return Client("skopeo", environment)


def https_client(edge: Edge, certificate: Path, host: str | None = None) -> httpx.Client:
    """Return a client of the edge that verifies its certificate, and asks for another host name where one is given."""
    trust = ssl.create_default_context(cafile=certificate.parent / "ca.crt")
    headers = {} if host is None else {"Host": host}
    return httpx.Client(base_url=f"https://{edge.tls}", verify=trust, timeout=DEADLINE_S, headers=headers)


def push_in_chunks(client: httpx.Client, uploads: str, content: bytes) -> httpx.Response:
    """Upload a blob chunk by chunk, each to the place that the last answer named."""
    location = client.post(uploads).raise_for_status().headers["Location"]
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = content[start : start + CHUNK_BYTES]
        span = {"Content-Range": f"{start}-{start + len(chunk) - 1}"}
        answer = client.patch(location, content=chunk, headers=span)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        location = answer.headers["Location"]
    commit = httpx.URL(location).copy_merge_params({"digest": digest_of(content)})
    return client.put(commit)


def test_crane_pushes_and_skopeo_copies_over_tls(
    edge: Edge, crane: Client, skopeo: Client, image: Layout, tmp_path: Path
) -> None:
    """An image that one client pushed is copied within the registry and pulled by another, bit for bit."""
    name = f"{edge.tls}/clients/app"
    crane("push", image.path, f"{name}:v1")
    crane("validate", "--remote", f"{name}:v1")
    skopeo("copy", f"docker://{name}:v1", f"docker://{edge.tls}/clients/copy:v1")
    skopeo("copy", f"docker://{edge.tls}/clients/copy:v1", f"oci:{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)
    assert set(edge.servers()) >= {f"replica{number + 1}" for number in range(REPLICAS)}


def test_upload_in_chunks_moves_between_replicas(edge: Edge, certificate: Path, layers: list[Layer]) -> None:
    """Each chunk of one upload may reach another replica, and every Location leads back through the edge."""
    before = edge.process.log_size()
    content = b"chunks" + layers[0].content
    with https_client(edge, certificate) as client:
        created = push_in_chunks(client, "/v2/clients/chunks/blobs/uploads/", content)
        assert created.status_code == httpx.codes.CREATED
        assert client.get(created.headers["Location"]).content == content
    assert len(set(edge.servers(before))) > 1


def test_pages_of_tags_lead_on(edge: Edge, certificate: Path, crane: Client, image: Layout) -> None:
    """The Link of a page of tags is followed through the edge."""
    name = f"{edge.tls}/clients/tags"
    crane("push", image.path, f"{name}:t0")
    for number in range(1, 5):
        crane("tag", f"{name}:t0", f"t{number}")
    with https_client(edge, certificate) as client:
        page = client.get("/v2/clients/tags/tags/list", params={"n": 2})
        assert page.json()["tags"] == ["t0", "t1"]
        assert client.get(page.links["next"]["url"]).json()["tags"] == ["t2", "t3"]
        assert tags(client, "clients/tags") == [f"t{number}" for number in range(5)]


def test_plain_http_leads_to_tls(edge: Edge) -> None:
    """A client that comes without TLS is sent to the same place with it, with a status that keeps method and body."""
    answer = httpx.post(f"{edge.url}/v2/a/blobs/uploads/?mount=b", headers={"Host": "registry.example.com"})
    assert answer.status_code == httpx.codes.PERMANENT_REDIRECT
    assert answer.headers["Location"] == "https://registry.example.com/v2/a/blobs/uploads/?mount=b"


def test_http2_is_not_offered(edge: Edge, certificate: Path) -> None:
    """A client that would speak HTTP/2 is told HTTP/1.1: each body has its own connection, and its own backpressure."""
    trust = ssl.create_default_context(cafile=certificate.parent / "ca.crt")
    trust.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = edge.tls.partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection,
        trust.wrap_socket(connection, server_hostname=host) as tls,
    ):
        assert tls.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("host", "path", "prefix"),
    [
        ("registry.example.com", "", ""),
        ("Registry.Example.com:443", "", ""),
        ("tools.example.com", "/registry", "/registry"),
    ],
)
def test_shared_edge_leads_back(
    shared_edge: Edge, certificate: Path, layers: list[Layer], host: str, path: str, prefix: str
) -> None:
    """By its host name and under the prefix of the path, the registry's answers name places where it is found again."""
    content = (host + path).encode() + layers[0].content
    with https_client(shared_edge, certificate, host) as client:
        assert client.get(f"{path}/v2/").status_code == httpx.codes.OK
        created = push_in_chunks(client, f"{path}/v2/shared/app/blobs/uploads/", content)
        assert created.status_code == httpx.codes.CREATED
        location = httpx.URL(created.headers["Location"])
        assert location.path == f"{prefix}/v2/shared/app/blobs/{digest_of(content)}"
        assert client.get(location.path).content == content


def test_shared_edge_serves_one_name_to_every_client(
    shared_edge: Edge, crane: Client, image: Layout, tmp_path: Path
) -> None:
    """Repositories below the prefix of the name are pushed and pulled by a client that knows nothing of it."""
    name = f"{shared_edge.tls}/images/team/app:v1"
    crane("push", image.path, name)
    crane("pull", "--format", "oci", name, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)
    assert "NOT_FOUND" in crane.refused("manifest", f"{shared_edge.tls}/other/app:v1")


@pytest.mark.parametrize(("host", "path"), [("registry.example.com", "/registry/v2/"), ("tools.example.com", "/v2/a/")])
def test_shared_edge_leaves_other_paths_alone(shared_edge: Edge, certificate: Path, host: str, path: str) -> None:
    """What is neither on the host nor below a prefix is for whatever else the edge serves."""
    with https_client(shared_edge, certificate, host) as client:
        answer = client.get(f"{path}tags/list")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (404, "nothing is served here")


def test_edge_takes_blobs_in_one_request(edge: Edge, certificate: Path, layers: list[Layer]) -> None:
    """A blob sent in one request over TLS comes back whole."""
    content = b"one request" + layers[0].content
    with https_client(edge, certificate) as client:
        digest = push_blob(client, "clients/one", content)
        assert client.get(f"/v2/clients/one/blobs/{digest}").content == content
