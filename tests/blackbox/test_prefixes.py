"""A registry that shares its host with others: below a path, below a part of the names, or by its own host name."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.blackbox.balancer import answers
from tests.blackbox.cluster import Replica
from tests.blackbox.images import stored_blobs
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs, push_blob, tags
from tests.processes import Process, find_program, free_port, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout
    from tests.servers import Bucket

SAID = """\
    # Nobody but this proxy says who the client is, and what it asked.
    http-request del-header x-forwarded- -m beg
    http-request del-header forwarded
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
"""
CONFIGURATION = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 300s
    timeout server 300s
    option forwardfor

frontend below_a_path
    bind 127.0.0.1:{path}
{said}    acl ours path_beg /registry/
    http-request return status 404 unless ours
    http-request set-header X-Forwarded-Prefix /registry
    http-request replace-path ^/registry(/.*)$ \\1
    default_backend registry

frontend below_a_name
    bind 127.0.0.1:{name}
{said}    acl ours path_beg /v2/team/
    http-request return status 404 unless ours or {{ path /v2/ }}
    http-request set-header X-Forwarded-Prefix /v2/team if ours
    http-request replace-path ^/v2/team(/.*)$ /v2\\1
    default_backend registry

frontend by_host
    bind 127.0.0.1:{host}
{said}    http-request return status 404 unless {{ req.hdr(host),field(1,:) -i registry.example.com localhost }}
    default_backend registry

backend registry
    server replica 127.0.0.1:{replica}
"""
WAYS = ("path", "name", "host")


class Shared:
    """One replica that trusts this machine, and HAProxy before it with a port for each way of sharing a host."""

    def __init__(self, bucket: Bucket, directory: Path) -> None:
        """Write all settings; nothing is started yet."""
        self.replica = Replica(0, bucket, "blackbox-prefixes", directory)
        file = directory / "replica0.json"
        settings = json.loads(file.read_text())
        settings["http"]["trustedProxies"] = ["127.0.0.0/8"]
        file.write_text(json.dumps(settings))
        self.ports = {way: free_port() for way in WAYS}
        configuration = directory / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(replica=self.replica.port, said=SAID, **self.ports))
        haproxy = find_program("haproxy", "apt-get install haproxy")
        self.haproxy = Process("haproxy", [haproxy, "-db", "-f", configuration], directory / "haproxy.log")

    def start(self) -> None:
        """Start both."""
        self.replica.start()
        self.haproxy.start(lambda: answers(f"http://127.0.0.1:{self.ports['name']}"))

    def stop(self) -> None:
        """End both."""
        self.haproxy.stop()
        self.replica.process.stop()

    def client(self, way: str) -> httpx.Client:
        """Return a client of one of the ports."""
        return http_client(f"http://127.0.0.1:{self.ports[way]}")

    def requests(self) -> list[dict[str, Any]]:
        """Return what the replica has logged of requests."""
        lines = self.replica.process.log_tail(limit=100_000_000).splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == "request"]


@pytest.fixture(scope="module")
def shared(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Return the replica behind its proxy."""
    with running(Shared(bucket, tmp_path_factory.mktemp("shared"))) as made:
        yield made


@pytest.mark.parametrize(
    ("way", "start"), [("path", "/registry/v2/"), ("name", "/v2/team/"), ("host", "/v2/")], ids=WAYS
)
def test_a_client_follows_every_location(shared: Shared, repository: str, way: str, start: str) -> None:
    """A push in chunks and a list in pages, by nothing but what the answers say, stay where the client began."""
    content = os.urandom(1 << 20)
    half = len(content) // 2
    place = f"{start}{repository}/{way}"
    with shared.client(way) as client:
        if way == "host":
            client.headers["Host"] = "registry.example.com"
        begun = client.post(f"{place}/blobs/uploads/")
        accepted = client.patch(begun.headers["Location"], content=content[:half])
        status = client.get(accepted.headers["Location"])
        assert (status.status_code, status.headers["Range"]) == (httpx.codes.NO_CONTENT, f"0-{half - 1}")
        location = httpx.URL(status.headers["Location"]).copy_merge_params({"digest": digest_of(content)})
        created = client.put(location, content=content[half:])
        assert created.status_code == httpx.codes.CREATED
        assert client.get(created.headers["Location"]).content == content

        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/x", "digest": digest_of(content), "size": len(content)},
            "layers": [],
        }
        answered = [begun, accepted, status, created]
        for tag in ("a", "b", "c"):
            pushed = client.put(
                f"{place}/manifests/{tag}", json=manifest, headers={"Content-Type": str(manifest["mediaType"])}
            )
            assert client.get(pushed.headers["Location"]).content == pushed.request.content
            answered.append(pushed)
        pages: list[str] = []
        page: str | None = f"{place}/tags/list?n=1"
        while page is not None:
            answer = client.get(page).raise_for_status()
            pages += answer.json()["tags"]
            page = answer.links.get("next", {}).get("url")
        assert pages == ["a", "b", "c"]
    assert all(answer.headers["Location"].startswith(f"{place}/") for answer in answered)


@pytest.mark.parametrize("way", ["name", "host"])
def test_a_real_client_needs_v2_at_the_root(
    shared: Shared, crane: Client, repository: str, index: Layout, way: str
) -> None:
    """What clients can be told, host and name, suffices: they put `/v2/` between, and are led back to both."""
    host = "localhost" if way == "host" else "127.0.0.1"
    below = "team/" if way == "name" else ""
    image = f"{host}:{shared.ports[way]}/{below}{repository}/{way}"
    crane("push", index.path, f"{image}:v1")
    assert crane("digest", f"{image}:v1") == crane("digest", "--full-ref", f"{image}:v1").partition("@")[2]
    assert crane("ls", image) == "v1"
    crane("copy", f"{image}:v1", f"{image}-copy:v1")
    with http_client(shared.replica.url) as client:
        for name in (f"{repository}/{way}", f"{repository}/{way}-copy"):
            assert pulled_blobs(client, name, "v1") == stored_blobs(index.path)
            assert tags(client, name) == ["v1"]


def test_another_host_is_another_site(shared: Shared) -> None:
    """Where the host name decides, others are not the registry's, and nothing below it is touched."""
    with shared.client("host") as client:
        assert client.get("/v2/", headers={"Host": "www.example.com"}).status_code == httpx.codes.NOT_FOUND
        assert client.get("/v2/", headers={"Host": "registry.example.com"}).status_code == httpx.codes.OK


def test_what_a_client_claims_does_not_pass_the_proxy(shared: Shared, repository: str) -> None:
    """The log has the client's address and what it asked as the proxy says, whatever the client itself sends."""
    claims = {
        "X-Forwarded-For": "198.51.100.1",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=198.51.100.1;host=evil",
    }
    with shared.client("host") as client:
        client.headers["Host"] = "localhost"
        digest = push_blob(client, repository, b"x")
        asked = client.head(f"/v2/{repository}/blobs/{digest}", headers=claims)
        assert asked.status_code == httpx.codes.OK

    def logged_heads() -> list[dict[str, Any]]:
        return [event for event in shared.requests() if event["method"] == "HEAD" and repository in event["path"]]

    wait_until(lambda: logged_heads() != [], "the request is logged, which is after its answer")
    (logged,) = logged_heads()
    assert (logged["client"], logged["origin"]) == ("127.0.0.1", "http://localhost")
