"""No request holds the event loop for more than 50 ms: the worst ones that the bounds allow, by a meter that counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.metering import MOST_MS, counted, metering
from tests.unit.web.desks import ALICE, SERVICE, TOKEN_PATH, Scene, bearer, giving
from tests.unit.web.issuers import ci_service
from tests.unit.web.serving import CONFIG, REPO, SETTINGS, Replica, digest_of, image, serving
from zotpy import concurrency
from zotpy.config.access import read_access_control
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.parts import PartPlan
from zotpy.core.units import MIB
from zotpy.core.upload_state import SentPart, UploadState
from zotpy.settings import ConditionSettings, ManifestSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx
    import trio

WHOLE = replace(SETTINGS, manifest=ManifestSettings(allow_sparse_indexes=True))
NAME = RepositoryName.parse(REPO)
MANIFESTS = f"/v2/{REPO}/manifests"
SUBJECT = digest_of(b"subject")
LAYER = "application/vnd.oci.image.layer.v1.tar"
LONG_S = 600.0


def digests(count: int) -> list[str]:
    """Return different ones."""
    return [digest_of(str(number).encode()) for number in range(count)]


def document(**more: Any) -> bytes:
    """Write an image with more in it."""
    return json.dumps({**json.loads(image()), **more}).encode()


def descriptors(media_type: str, listed: list[str]) -> list[dict[str, object]]:
    """Write what a manifest lists."""
    return [{"mediaType": media_type, "digest": digest, "size": 1} for digest in listed]


MANY_NOTES = {f"annotation.{number}": "x" * 50 for number in range(49_000)}
LONG_MANIFESTS: Mapping[str, tuple[str, bytes]] = {
    "one annotation": (OCI_IMAGE, document(annotations={"a": "x" * (4 * MIB - 2000)})),
    "many annotations": (
        OCI_IMAGE,
        document(annotations=MANY_NOTES, subject={"mediaType": OCI_IMAGE, "digest": SUBJECT, "size": 1}),
    ),
    "layers that are missing": (OCI_IMAGE, document(layers=descriptors(LAYER, digests(3999)))),
    "one layer many times": (OCI_IMAGE, document(layers=descriptors(LAYER, [digest_of(CONFIG)] * 3999))),
    "many manifests": (
        OCI_INDEX,
        json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors(OCI_IMAGE, digests(4000))}
        ).encode(),
    ),
    "what is just read on the spot": (OCI_IMAGE, document(annotations={str(number): "" for number in range(2300)})),
}


@pytest.mark.parametrize("which", LONG_MANIFESTS)
async def test_manifests(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """Pushed, pulled and deleted."""
    media_type, content = LONG_MANIFESTS[which]
    async with serving(nursery, WHOLE) as replica:
        await replica.push_blob(CONFIG)
        with metering(monkeypatch) as meter:
            for method, reference, sent in (("PUT", "v1", content), ("GET", "v1", b""), ("DELETE", "", b"")):
                url = f"{MANIFESTS}/{reference or digest_of(content)}"
                await replica.client.request(
                    method, url, content=sent, headers={"Content-Type": media_type}, timeout=LONG_S
                )
        assert 0 < meter.longest_ms < MOST_MS, meter.where


@pytest.fixture
async def replica(nursery: trio.Nursery) -> Any:
    """Run one with thousands of tags of one manifest, and hundreds of referrers."""
    async with serving(nursery, WHOLE) as replica:
        await replica.push_image("first")
        named, digest = await replica.store.get(keys.tag(NAME, Tag("first"))), Digest.parse(digest_of(image()))
        for number in range(10_000):
            tag = Tag(f"{number:04}{'t' * 111}")
            await replica.store.put(keys.tag(NAME, tag), named.body)
            if number < 3000:
                await replica.store.put(f"{keys.tagged(NAME, digest)}{tag}", b"")
        for number, each in enumerate(digests(300)):
            notes = {f"annotation.{count}": "x" * 4 for count in range(1500 if number < 80 else 0)}
            described = {"mediaType": OCI_IMAGE, "digest": each, "size": 1, "artifactType": "a/b", "annotations": notes}
            value = json.dumps({"v": 1, "descriptor": described}).encode() + b"\n"
            await replica.store.put(keys.referrer(NAME, Digest.parse(SUBJECT), Digest.parse(each)), value)
        yield replica


@pytest.mark.parametrize(
    ("method", "path", "has"),
    [
        ("GET", f"/v2/{REPO}/tags/list", "t" * 111),
        ("GET", f"/v2/{REPO}/referrers/{SUBJECT}", "annotation.1249"),
        ("GET", f"/v2/{REPO}/referrers/{SUBJECT}?artifactType=x/y", '"manifests": []'),
        ("DELETE", f"{MANIFESTS}/{digest_of(image())}", ""),
    ],
)
async def test_lists(replica: Replica, monkeypatch: pytest.MonkeyPatch, method: str, path: str, has: str) -> None:
    """Their longest pages, and what a DELETE finds of the names of its manifest."""
    with metering(monkeypatch) as meter:
        answer = await replica.client.request(method, path, timeout=LONG_S)
    assert has in answer.text
    assert 0 < meter.longest_ms < MOST_MS, meter.where


async def test_ranges(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for as many as there may be."""
    digest = await replica.push_blob(b"x" * MIB)
    ranges = ",".join(f"{number * 3}-{number * 3}" for number in range(1024))
    with metering(monkeypatch) as meter:
        answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}", headers={"Range": f"bytes={ranges}"})
    assert answer.status_code == 206
    assert 0 < meter.longest_ms < MOST_MS, meter.where


async def test_an_upload_of_many_parts(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state names nearly 10,000, and each request reads it, or writes it."""
    async with serving(nursery, WHOLE) as replica:
        answer = await replica.client.patch(await replica.begin(), content=b"x" * (2 * MIB + 5))
        (listed,) = (await replica.store.list("uploads/")).objects
        state = UploadState.decode((await replica.store.get(listed.key)).body)
        assert state.multipart is not None
        stored = replica.store.multiparts[state.multipart.multipart_id].parts
        parts = tuple(SentPart(number, state.parts[0].etag, state.parts[0].crc32c) for number in range(1, 9991))
        stored.update(dict.fromkeys(range(1, 9991), stored[1]))
        offset = len(parts) * MIB + len(state.tail)
        many = replace(state, plan=PartPlan(MIB, MIB), parts=parts, offset=offset, tail_part=None)
        await replica.store.put(listed.key, bytes(many.encode()))
        with metering(monkeypatch) as meter:
            at = (await replica.client.get(answer.headers["Location"])).headers["Location"]
            span = {"Content-Range": f"{offset}-{offset + 3 * MIB - 1}"}
            answer = await replica.client.patch(at, content=b"y" * 3 * MIB, headers=span, timeout=LONG_S)
            assert answer.status_code == 202
            at, wrong = answer.headers["Location"], digest_of(b"")
            answer = await replica.client.put(f"{at}&digest={wrong}", content=b"z" * MIB, timeout=LONG_S)
            assert answer.status_code == 400
        assert 0 < meter.longest_ms < MOST_MS, meter.where


def many_rules() -> dict[str, object]:
    """Return rules with 1,000 patterns of many stars. None matches a name of these tests."""
    return {"repositories": {f"*a*a*a*-{number}": {"defaultPolicy": ["read"]} for number in range(1000)}}


async def ask_for_many_scopes(scene: Scene) -> httpx.Response:
    """Ask for a token for as many repositories as it may have."""
    scopes = " ".join(f"repository:{'a' * 250}{number:03}:pull,push,delete" for number in range(64))
    form = {"grant_type": "password", "username": ALICE[0], "password": ALICE[1].decode(), "service": SERVICE}
    return await scene.client.post(TOKEN_PATH, data={**form, "scope": scopes}, timeout=LONG_S)


async def ask_for_the_catalog(scene: Scene) -> httpx.Response:
    """Ask for all repositories, of which the rules show none."""
    for number in range(60):
        await scene.replica.store.put(f"{keys.REPOS}{'a' * 250}{number:03}", b"")
    return await scene.client.get("/v2/_catalog", auth=ALICE, timeout=LONG_S)


@pytest.mark.parametrize("ask", [ask_for_many_scopes, ask_for_the_catalog])
@pytest.mark.parametrize("has_turns", [True, False])
async def test_names_that_are_compared_with_many_patterns(
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    ask: Any,
    has_turns: bool,  # noqa: FBT001
) -> None:
    """Other requests get turns between them. Without these turns the meter shows it."""
    if not has_turns:
        monkeypatch.setattr(concurrency, "TURN_S", math.inf)
    async with giving(nursery, many_rules()) as scene:
        with metering(monkeypatch) as meter:
            scene.grants.renew(counted(read_access_control(many_rules()), meter))
            answer = await ask(scene)
        assert answer.status_code in {200, 403}, answer.text
        assert meter.total_ns > 1e9
        assert (meter.longest_ms < MOST_MS) is has_turns, (meter.longest_ms, meter.where)


async def test_expressions_at_their_bound(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that read the claims of a token, and those of the rules, which the same request brings."""
    costly = " || ".join(f"claims.a == ['{number}']" for number in range(60))
    texts = [costly.replace("claims", "req.claims"), costly.replace("claims", "req.claims").replace("a ==", "b ==")]
    conditions = [{"expression": f"{text} || true", "message": "no"} for text in texts]
    policy = {"groups": ["ci"], "actions": ["read"], "conditions": conditions}
    validations = tuple(ConditionSettings(f"{text} || true", "no") for text in (costly, costly.replace(".a", ".b")))
    with ci_service() as ci:
        logins = ci.logins(validations=validations, groups_by="['ci']")
        async with giving(nursery, {"repositories": {"**": {"policies": [policy]}}}, oidc=logins) as scene:
            shown = bearer(ci.token(a=["b"] * 200, b=["c"] * 200))
            with metering(monkeypatch) as meter:
                answer = await scene.client.get(f"/v2/{REPO}/tags/list", headers=shown)
            assert answer.status_code == 404, answer.text
            assert meter.total_ns > 50e6
            assert meter.longest_ms < MOST_MS, meter.where
