"""containerd's `ns=`, referrers, and pushes to mirrored repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from tests.unit.auth.rules import BOB, grant, policies
from tests.unit.mirror.support import (
    CONFIG,
    LAYER,
    LAYER_DIGEST,
    LAYER_PATH,
    LOCAL,
    NAME,
    TAG_HERE,
    TAG_THERE,
    give,
    image,
    manifest,
    world,
)
from tests.unit.s3.scripted import Reply
from zotpy.auth.granted import Granted
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.mirror.rules import is_of
from zotpy.settings import MirroredRegistry

if TYPE_CHECKING:
    from tests.unit.upstream.upstreams import Upstream
    from zotpy.auth.permission import Permission

V1 = image()
CONTROL = policies(repositories={f"{NAME}": {"policies": [grant("read", users="bob")]}})
"""Bob may read what has the upstream's name here, and nothing below `hub`."""


def host(upstream: Upstream) -> str:
    """Return the namespace of an upstream."""
    return upstream.url.removeprefix("http://")


async def test_a_namespace_leads_to_its_upstream() -> None:
    """One entry of hosts.toml serves it: the path has the upstream's own name, and the answer says whose it is."""
    async with world() as (upstream, replica):
        digest = give(upstream, V1)
        answer = await replica.client.get(TAG_THERE, params={"ns": host(upstream)})
        assert (answer.status_code, answer.content) == (200, V1)
        assert answer.headers["OCI-Namespace"] == host(upstream)
        blob = await replica.client.get(LAYER_PATH, params={"ns": host(upstream)})
        assert blob.content == LAYER
        assert (await replica.client.head(f"/v2/{LOCAL}/manifests/{digest}")).status_code == 200
        assert "OCI-Namespace" not in (await replica.client.get(TAG_HERE)).headers


async def test_no_other_namespace_is_served() -> None:
    """Not even with what was pushed here under the same name."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
        headers = {"Content-Type": OCI_INDEX}
        assert (await replica.client.put(TAG_THERE, content=index, headers=headers)).status_code == 201
        answer = await replica.client.get(TAG_THERE, params={"ns": "registry.example.com"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        assert not upstream.asked


def test_docker_hub_has_several_names() -> None:
    """Containerd says docker.io, whatever the address is."""
    for address in ("https://registry-1.docker.io", "https://docker.io", "https://index.docker.io"):
        assert is_of(MirroredRegistry((address,)), "docker.io")
    assert not is_of(MirroredRegistry(("https://quay.io",)), "docker.io")
    assert is_of(MirroredRegistry(("https://quay.io:5000",)), "Quay.io:5000")


async def test_referrers_come_along() -> None:
    """The list of the upstream is fetched, with the manifests in it, and is here when the upstream is down."""
    async with world(check_interval_s=60.0) as (upstream, replica):
        subject = give(upstream, V1)
        signature = json.dumps(
            {
                **json.loads(image("signature")),
                "artifactType": "application/vnd.example.signature",
                "subject": {"mediaType": OCI_IMAGE, "digest": subject, "size": len(V1)},
            }
        ).encode()
        digest = str(Digest.of(signature))
        descriptor = {"mediaType": OCI_IMAGE, "digest": digest, "size": len(signature)}
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).encode()
        upstream.scripts[f"/v2/{NAME}/referrers/{subject}"] = [Reply(200, index, {"Content-Type": OCI_INDEX})]
        upstream.scripts[f"/v2/{NAME}/manifests/{digest}"] = [manifest(signature)]
        for _ in range(2):
            answer = await replica.client.get(f"/v2/{LOCAL}/referrers/{subject}")
            assert [each["digest"] for each in answer.json()["manifests"]] == [digest]
            assert answer.json()["manifests"][0]["artifactType"] == "application/vnd.example.signature"
        assert len(upstream.asked) == 2


async def test_a_list_of_referrers_needs_no_upstream() -> None:
    """If it is down, the list is what is here."""
    async with world() as (upstream, replica):
        upstream.scripts[f"/v2/{NAME}/referrers/{Digest.of(V1)}"] = [Reply(503)]
        answer = await replica.client.get(f"/v2/{LOCAL}/referrers/{Digest.of(V1)}")
        assert (answer.status_code, answer.json()["manifests"]) == (200, [])


async def test_a_push_may_rely_on_what_the_upstream_has() -> None:
    """HEAD has said that the layer exists, so the manifest that names it is accepted."""
    async with world() as (upstream, replica):
        give(upstream, V1)
        mine = image("mine")
        assert (await replica.client.head(f"/v2/{LOCAL}/blobs/{LAYER_DIGEST}")).status_code == 200
        answer = await replica.client.put(
            f"/v2/{LOCAL}/manifests/mine", content=mine, headers={"Content-Type": OCI_IMAGE}
        )
        assert answer.status_code == 201
        assert (await replica.client.get(f"/v2/{LOCAL}/blobs/{Digest.of(CONFIG)}")).content == CONFIG
        upstream.scripts.clear()
        assert (await replica.client.get(f"/v2/{LOCAL}/manifests/mine")).content == mine


async def test_a_caller_who_may_not_read_causes_no_fetch() -> None:
    """Rules are those of the name here, also with a namespace."""
    async with world() as (upstream, replica):
        give(upstream, V1)

        async def admit(_: object) -> Permission:
            await trio.lowlevel.checkpoint()
            return Granted(CONTROL, BOB)

        replica.app.dispatcher.admit = admit
        assert (await replica.client.get(TAG_HERE)).status_code == 403
        assert (await replica.client.get(TAG_THERE, params={"ns": host(upstream)})).status_code == 403
        assert not upstream.asked
