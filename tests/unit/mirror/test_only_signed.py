"""`onlySigned` on demand: an image without a signature at its upstream is not mirrored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.mirror.support import LOCAL, NAME, TAG_HERE, give, image, manifest, world
from tests.unit.mirror.test_manifests import requests
from tests.unit.s3.scripted import Reply
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.mirror.rests import Rests
from zotpy.upstream.registry import fallback_tag

if TYPE_CHECKING:
    from tests.unit.mirror.support import MirrorReplica
    from tests.unit.upstream.upstreams import Upstream

V1, V2 = image("one"), image("two")
SIGNED: dict[str, Any] = {"only_signed": True}


def there(reference: object) -> str:
    """Return the path of a manifest at the upstream."""
    return f"/v2/{NAME}/manifests/{reference}"


def here(reference: object) -> str:
    """Return its path at the replica."""
    return f"/v2/{LOCAL}/manifests/{reference}"


def sign(upstream: Upstream, digest: str) -> str:
    """Sign a manifest as cosign did for years, and return the tag of the signature."""
    tag = f"{fallback_tag(Digest.parse(digest))}.sig"
    upstream.scripts[there(tag)] = [manifest(image(f"signature of {digest}"))]
    return tag


def let_time_pass(replica: MirrorReplica) -> None:
    """Let a minute pass, after which what was not there may be there."""
    replica.mirror.manifests.absent.forget()
    replica.mirror.manifests.fetches.unsigned.forget()


async def test_an_image_without_a_signature_does_not_exist() -> None:
    """The client is told why; the upstream is asked once in a minute, and nothing is kept."""
    async with world(**SIGNED) as (upstream, replica):
        digest = give(upstream, V1)
        answer = await replica.client.get(TAG_HERE)
        assert answer.status_code == 404
        (error,) = answer.json()["errors"]
        assert error["code"] == "MANIFEST_UNKNOWN"
        assert error["message"].endswith("has v1 without a signature, and only signed images are mirrored")
        upstream.seen.clear()
        for reference in ("v1", digest):
            assert (await replica.client.get(here(reference))).status_code == 404
        assert requests(upstream) == []


async def test_an_image_with_a_signature_is_mirrored() -> None:
    """The tag of cosign's is enough; it and what it names need no signature, and nobody is asked again."""
    async with world(**SIGNED) as (upstream, replica):
        tag = sign(upstream, give(upstream, V1))
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert requests(upstream) == [("GET", there("v1")), ("HEAD", there(tag))]
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert requests(upstream) == [("HEAD", there("v1"))]
        assert (await replica.client.get(here(tag))).status_code == 200


@pytest.mark.parametrize("artifact_type", ["application/vnd.cncf.notary.signature", "application/vnd.example.sbom"])
async def test_a_signature_among_the_referrers(artifact_type: str) -> None:
    """Other referrers are not enough. The signature is mirrored with the image."""
    async with world(**SIGNED) as (upstream, replica):
        digest = give(upstream, V1)
        subject = {"mediaType": OCI_IMAGE, "digest": digest, "size": len(V1)}
        referrer = json.dumps(json.loads(V2) | {"subject": subject, "artifactType": artifact_type}).encode()
        upstream.scripts[there(Digest.of(referrer))] = [manifest(referrer)]
        entry = {"mediaType": OCI_IMAGE, "digest": str(Digest.of(referrer)), "size": 1, "artifactType": artifact_type}
        listed = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        upstream.scripts[f"/v2/{NAME}/referrers/{digest}"] = [Reply(200, listed, {"Content-Type": OCI_INDEX})]
        is_signature = "signature" in artifact_type
        assert (await replica.client.get(TAG_HERE)).status_code == (200 if is_signature else 404)
        if is_signature:
            found = (await replica.client.get(f"/v2/{LOCAL}/referrers/{digest}")).json()["manifests"]
            assert [each["digest"] for each in found] == [str(Digest.of(referrer))]


def index(*contents: bytes) -> bytes:
    """Write an index of manifests."""
    named = [{"mediaType": OCI_IMAGE, "digest": str(Digest.of(each)), "size": len(each)} for each in contents]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": named}).encode()


def give_index(upstream: Upstream, content: bytes) -> str:
    """Let the upstream have an index as v1, and return its digest."""
    digest = str(Digest.of(content))
    reply = Reply(200, content, {"Content-Type": OCI_INDEX, "Docker-Content-Digest": digest})
    upstream.scripts[there("v1")] = upstream.scripts[there(digest)] = [reply]
    return digest


async def test_the_images_of_a_signed_index_need_no_signature() -> None:
    """They come with the index, so whoever asks for one gets it, from any replica and at any time."""
    async with world(**SIGNED) as (upstream, replica):
        first, second = give(upstream, V1, "a"), give(upstream, V2, "b")
        digest = give_index(upstream, index(V1, V2, b"the upstream lacks this one"))
        assert (await replica.client.get(here(first))).status_code == 404
        let_time_pass(replica)
        sign(upstream, digest)
        assert (await replica.client.get(TAG_HERE)).status_code == 200
        upstream.scripts.clear()
        assert (await replica.client.get(here(first))).content == V1
        assert (await replica.client.get(here(second))).content == V2


async def test_indexes_within_a_signed_index_do_not_multiply_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request makes a replica store a bounded number of manifests, however the indexes are nested."""
    monkeypatch.setattr("zotpy.mirror.manifest_fetching.MOST_PARTS", 4)
    async with world(**SIGNED) as (upstream, replica):
        images = [image(str(number)) for number in range(6)]
        digests = [give(upstream, each, f"image{number}") for number, each in enumerate(images)]
        inner = [index(*images[:3]), index(*images[3:])]
        for each in inner:
            give_index(upstream, each)
        sign(upstream, give_index(upstream, index(*inner)))
        assert (await replica.client.get(TAG_HERE)).status_code == 200
        upstream.scripts.clear()
        statuses = [(await replica.client.get(here(digest))).status_code for digest in digests]
        assert statuses.count(200) == 2


async def test_the_images_of_an_index_without_a_signature_do_not_exist() -> None:
    """A signature of one of them admits that one alone."""
    async with world(**SIGNED) as (upstream, replica):
        first, second = give(upstream, V1, "a"), give(upstream, V2, "b")
        give_index(upstream, index(V1, V2))
        sign(upstream, second)
        statuses = [(await replica.client.get(here(each))).status_code for each in ("v1", first, second)]
        assert statuses == [404, 404, 200]


async def test_a_tag_that_moves_to_an_unsigned_image_keeps_the_signed_one() -> None:
    """It is served with a warning; the new image is looked at once a minute."""
    async with world(**SIGNED) as (upstream, replica):
        sign(upstream, give(upstream, V1))
        await replica.client.get(TAG_HERE)
        digest = give(upstream, V2)
        answer = await replica.client.get(TAG_HERE)
        assert (answer.content, answer.headers["Warning"][:3]) == (V1, "110")
        upstream.seen.clear()
        assert (await replica.client.get(TAG_HERE)).content == V1
        assert requests(upstream) == [("HEAD", there("v1"))]
        let_time_pass(replica)
        sign(upstream, digest)
        answer = await replica.client.get(TAG_HERE)
        assert (answer.content, "Warning" in answer.headers) == (V2, False)


async def test_an_upstream_that_does_not_say_whether_it_has_a_signature() -> None:
    """Nothing is kept, and the client is to try again."""
    async with world(**SIGNED) as (upstream, replica):
        tag = sign(upstream, give(upstream, V1))
        upstream.scripts[there(tag)] = [Reply(503)]
        assert (await replica.client.get(TAG_HERE)).status_code == 429
        replica.mirror.upstreams.by_registry[replica.mirror.settings.registries[0]][0].rests = Rests()
        sign(upstream, str(Digest.of(V1)))
        assert (await replica.client.get(TAG_HERE)).content == V1
