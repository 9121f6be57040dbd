"""Retention as an operator meets it: a replica that notes pulls, and `zotpy gc` beside it, on a real SeaweedFS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.blackbox.registry_api import digest_of, http_client, patient_client, push_blob
from tests.integration.test_commands import CONFIG, LAYER, REPO, SHORT, Site
from tests.processes import wait_until
from zotpy.bucket.sweeps import list_all
from zotpy.config import load_settings
from zotpy.core import keys
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.pulls import encode_since
from zotpy.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICIES = [
    {
        "repositories": ["team/*"],
        "deleteReferrers": True,
        "keepTags": [{"patterns": ["^v"], "mostRecentlyPushedCount": 1, "mostRecentlyPulledCount": 1}],
    }
]
RULES = {
    "ZOTPY_STORAGE_RETENTION_POLICIES": json.dumps(POLICIES),
    "ZOTPY_STORAGE_RETENTION_DELAY": "1s",
    "ZOTPY_GCSETTINGS_PULLINTERVAL": "1h",
}


def image(note: str, subject: bytes | None = None) -> bytes:
    """Write an image, the referrer of another one where there is one."""
    blobs = [
        {"mediaType": "application/octet-stream", "digest": digest_of(body), "size": len(body)}
        for body in (CONFIG, LAYER)
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": blobs[0], "layers": blobs[1:]}
    if subject is not None:
        document["subject"] = {"mediaType": OCI_IMAGE, "digest": digest_of(subject), "size": len(subject)}
    return json.dumps(document | {"annotations": {"note": note}}).encode()


CHILD = image("child")
PULLED, UNPULLED, UNMATCHED, UNTAGGED = (image(note) for note in ("pulled", "unpulled", "unmatched", "untagged"))
SIGNATURE = image("signature", subject=UNPULLED)
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_IMAGE, "digest": digest_of(CHILD), "size": len(CHILD)}],
    }
).encode()
PUSHED = {
    digest_of(CHILD): CHILD,
    digest_of(UNTAGGED): UNTAGGED,
    "v1": PULLED,
    "v2": UNPULLED,
    digest_of(SIGNATURE): SIGNATURE,
    "dev": UNMATCHED,
    "v3": INDEX,
}
"""In this order, by tag or by digest."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site with rules, to which all was pushed, from which one image was pulled, and that was restarted."""
    made = Site(tmp_path / "root", tmp_path / "first.log", SHORT | RULES)
    try:
        made.process.start(lambda: made.url != "")
        with patient_client(made.url) as client:
            for body in (CONFIG, LAYER):
                push_blob(client, REPO, body)
            for reference, body in PUSHED.items():
                content_type = {"Content-Type": OCI_INDEX if body is INDEX else OCI_IMAGE}
                answer = client.put(f"/v2/{REPO}/manifests/{reference}", content=body, headers=content_type)
                assert answer.status_code == httpx.codes.CREATED, answer.text
            assert client.get(f"/v2/{REPO}/manifests/v1").content == PULLED
            assert client.head(f"/v2/{REPO}/manifests/v2").status_code == httpx.codes.OK
        made.process.stop()
        made = Site(tmp_path / "root", tmp_path / "second.log", SHORT | RULES)
        made.process.start(lambda: made.url != "")
        yield made
    finally:
        made.process.stop()


async def batches(site: Site) -> int:
    """Count what the replica has written of pulls, and let it look as if it had noted them for long."""
    settings = load_settings(environ={}, overrides={"storage.rootDirectory": str(site.root)})
    async with open_store(settings, beside_a_replica=True) as store:
        await store.put(keys.PULLS_SINCE, encode_since(datetime(2026, 1, 1, tzinfo=UTC)))
        return len(await list_all(store, keys.PULLS)) - 1


def test_what_no_rule_keeps_goes_and_the_rest_can_be_pulled(site: Site) -> None:
    """The image pulled last and the tag pushed last stay, whole. All else is deleted; the dry run gave each reason."""
    assert trio.run(batches, site) == 1  # a replica that stops writes down what it has noted
    dry = site.told("gc", "--dry-run")
    reason = "it is not among the 1 pushed last, not among the 1 pulled last (keepTags[0])"
    assert [each for each in dry["expirations"] if ":" not in each["what"]] == [
        {"repository": REPO, "what": "dev", "reason": "it matches no patterns of keepTags"},
        {"repository": REPO, "what": "v2", "reason": reason},
    ]
    assert f"{REPO} v2: {reason}" in site.run("gc", "--dry-run").stdout.splitlines()
    collections: list[dict[str, Any]] = []

    def is_done() -> bool:
        collections.append(site.told("gc"))
        return sum(int(each["manifests_expired"]) for each in collections) == len(PUSHED) - 3

    wait_until(is_done, "the manifests went", deadline_s=120)
    assert sum(each["tags_expired"] for each in collections) == 2
    with http_client(site.url) as client:
        assert client.get(f"/v2/{REPO}/tags/list").json()["tags"] == ["v1", "v3"]
        for reference, body in PUSHED.items():
            answer = client.get(f"/v2/{REPO}/manifests/{reference}")
            if body in {PULLED, INDEX, CHILD}:
                assert answer.content == body
            else:
                assert answer.status_code == httpx.codes.NOT_FOUND
        assert client.get(f"/v2/{REPO}/blobs/{digest_of(LAYER)}").content == LAYER
        referrers = client.get(f"/v2/{REPO}/referrers/{digest_of(UNPULLED)}").json()
        assert referrers["manifests"] == []
    assert site.told("fsck", "--read", "all")["problems"] == []
    site.process.stop()
