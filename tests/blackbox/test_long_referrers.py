"""Signatures of an image are listed by real clients however long their annotations are, and cost little memory."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.blackbox.registry_api import digest_of, http_client, push_blob
from tests.faults.uploads.flood import forget_peak, resident_bytes
from tests.faults.uploads.replicas import MIB, UploadReplica
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import frame
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import RepositoryName
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.servers import Bucket

pytestmark = pytest.mark.usefixtures("plain_starts")

REPOSITORY = "signed/often"
SIGNATURE = "application/vnd.example.signature"
LIMIT_BYTES = 4 * MIB
"""What oras reads of a manifest or of a list, and the default of `manifest.maxSize`."""
OLD = 60
NEW = 8
LISTS_AT_ONCE = 4


@pytest.fixture
def replica(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a replica with the default limits."""
    started = UploadReplica(0, bucket, prefix, tmp_path, upload={"memoryBudget": 64 * MIB})
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


def image(note: str, subject: str | None = None) -> bytes:
    """Write an image of an empty config, or a signature of one."""
    config = {"mediaType": SIGNATURE, "digest": digest_of(b"{}"), "size": 2}
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": []}
    if subject is not None:
        document["subject"] = {"mediaType": OCI_IMAGE, "digest": subject, "size": 1}
    return json.dumps(document | {"annotations": {"signed": "yes", "certificates": note}}).encode()


def longest(number: int, subject: str) -> bytes:
    """Write a signature that is just as long as a manifest may be."""
    note = f"{number:02}"
    return image(note + "x" * (LIMIT_BYTES - len(image(note, subject))), subject)


async def write_as_before(bucket: Bucket, prefix: str, subject: str) -> list[str]:
    """Write the referrers that a release would have written that bounded no annotations; return their digests."""
    repo, found = RepositoryName.parse(REPOSITORY), [Digest.of(b"%d" % number) for number in range(OLD)]
    annotations = {"signed": "yes", "certificates": "x" * LIMIT_BYTES}
    async with open_s3_store(bucket.config(), prefix) as store:

        async def write(digest: Digest) -> None:
            descriptor = {"mediaType": OCI_IMAGE, "digest": str(digest), "size": 1, "artifactType": SIGNATURE}
            body = frame({"v": 1, "descriptor": descriptor | {"annotations": annotations}})
            await store.put(keys.referrer(repo, Digest.parse(subject), digest), body)

        await gather(*[partial(write, digest) for digest in found], limit=4)
    return [str(digest) for digest in found]


def listed(replica: UploadReplica, subject: str) -> list[str]:
    """Follow the pages of a list, and return the digests on all of them."""
    found: list[str] = []
    page: str | None = f"/v2/{REPOSITORY}/referrers/{subject}?artifactType={SIGNATURE}"
    with http_client(replica.url) as client:
        while page is not None:
            answer = client.get(page).raise_for_status()
            assert len(answer.content) < LIMIT_BYTES
            found += [descriptor["digest"] for descriptor in answer.json()["manifests"]]
            page = answer.links.get("next", {}).get("url")
    return found


def test_signatures_with_long_annotations_are_listed(
    oras: Client, replica: UploadReplica, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    """Oras finds all of them, and pulls one; four clients that list them at once take little memory together."""
    with http_client(replica.url) as client:
        push_blob(client, REPOSITORY, b"{}")
        subject = digest_of(image("subject"))
        bodies = [image("subject"), *[longest(number, subject) for number in range(NEW)]]
        for body in bodies:
            url = f"/v2/{REPOSITORY}/manifests/{digest_of(body)}"
            answer = client.put(url, content=body, headers={"Content-Type": OCI_IMAGE})
            assert answer.status_code == 201, answer.text
        answer = client.put(f"/v2/{REPOSITORY}/manifests/long", content=longest(0, subject) + b" ")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "SIZE_INVALID")
    signatures = {digest_of(body) for body in bodies[1:]}
    signatures |= set(trio.run(write_as_before, bucket, prefix, subject))

    name = f"127.0.0.1:{replica.port}/{REPOSITORY}"
    options = ["--plain-http", "--format", "json", "--depth", "1", "--distribution-spec", "v1.1-referrers-api"]
    found = json.loads(oras("discover", *options, "--artifact-type", SIGNATURE, f"{name}@{subject}"))["referrers"]
    assert {entry["digest"]: entry["annotations"] for entry in found} == {key: {"signed": "yes"} for key in signatures}
    fetched = tmp_path / "manifest"
    oras("manifest", "fetch", "--plain-http", "--output", fetched, f"{name}@{digest_of(bodies[1])}")
    assert fetched.read_bytes() == bodies[1]

    base = resident_bytes(replica)
    forget_peak(replica)
    with ThreadPoolExecutor(LISTS_AT_ONCE) as clients:
        for each in clients.map(lambda _: listed(replica, subject), range(LISTS_AT_ONCE)):
            assert len(each) == len(set(each)) == len(signatures)
    assert resident_bytes(replica, "VmHWM") <= base + 32 * MIB
