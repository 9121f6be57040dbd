"""What `zotpy sync` does to tags here: they follow the upstream, unless they were pushed here."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.mirror.support import CONFIG, LAYER, LAYER_PATH, LOCAL, NAME, TAG_THERE, give, image, manifest, mirrored
from tests.unit.registry.support import Clock, open_replica
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream, running
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import RepositoryName, Tag
from zotpy.importing.importer import Listed, SourceGone
from zotpy.importing.tally import Tally
from zotpy.settings import MirroredContent, MirrorSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.syncing.jobs import Job
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.registry import fallback_tag

if TYPE_CHECKING:
    from zotpy.registry.registry import Registry

REPO, V1 = RepositoryName.parse(LOCAL), Tag("v1")
REFERRERS = f"/v2/{NAME}/referrers/"


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty bucket."""
    return MemoryStore()


def list_tags(upstream: Upstream, *tags: str) -> None:
    """Let an upstream list its tags."""
    upstream.scripts["/v2/_catalog"] = [Reply(200, json.dumps({"repositories": [NAME]}).encode())]
    upstream.scripts[f"/v2/{NAME}/tags/list"] = [Reply(200, json.dumps({"tags": tags}).encode())]


async def sync(registry: Registry, *urls: str, **changed: Any) -> Tally:
    """Copy once from a registry with these addresses and settings, and return what was copied."""
    settings = mirrored(*urls, on_demand=False, has_content=True, **changed)
    tally = Tally()
    await Job(MirrorSettings(registries=(settings,)), settings).run(registry, lambda _, tag: tag == "fixed", tally)
    return tally


async def named(registry: Registry, tag: Tag = V1) -> str | None:
    """Return what a tag names here."""
    try:
        return str((await registry.manifests.stat(REPO, tag)).digest)
    except ManifestUnknown:
        return None


async def push(registry: Registry, content: bytes, tag: Tag = V1) -> str:
    """Push an image of the layer by hand."""
    for blob in (CONFIG, LAYER):
        session = registry.uploads.begin(REPO, "sha256")
        await registry.uploads.finish(session, Digest.of(blob), _Pieces(blob), None, len(blob))
    return str((await registry.manifests.push(REPO, tag, content, OCI_IMAGE)).digest)


class _Pieces:
    def __init__(self, content: bytes) -> None:
        self._waiting = [content]

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.pop()


async def test_a_second_run_copies_nothing_and_a_third_what_moved(store: MemoryStore) -> None:
    """Tags follow the upstream, and an image that is here costs the upstream a HEAD.

    One more is needed to learn that there is no referrers API.
    """
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        first = give(upstream, image())
        tally = await sync(registry, upstream.url)
        assert (tally.tags_copied, tally.blobs_copied, tally.problems) == (1, 2, [])
        assert await named(registry) == first
        upstream.seen.clear()
        tally = await sync(registry, upstream.url)
        assert (tally.tags_unchanged, tally.tags_copied, tally.manifests_copied, tally.blobs_copied) == (1, 0, 0, 0)
        asked = [(seen.method, seen.target.split("/")[-1]) for seen in upstream.seen if "/manifests/" in seen.target]
        assert asked == [("HEAD", "v1"), ("HEAD", first)]  # is it there? Then there is no referrers API
        second = give(upstream, image("moved"))
        tally = await sync(registry, upstream.url)
        assert (tally.tags_copied, tally.blobs_copied) == (1, 0)
        assert await named(registry) == second


async def test_a_tag_that_was_pushed_here_stays(store: MemoryStore) -> None:
    """It is ours, before the first run and if it replaces a copy."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        give(upstream, image())
        ours = await push(registry, image("ours"))
        tally = await sync(registry, upstream.url)
        assert (tally.tags_kept, tally.tags_copied, await named(registry)) == (1, 0, ours)
        await registry.manifests.delete_tag(REPO, V1)
        assert (await sync(registry, upstream.url)).tags_copied == 1
        ours = await push(registry, image("ours again"))
        assert (await sync(registry, upstream.url)).tags_kept == 1
        assert await named(registry) == ours


async def test_a_tag_that_is_pushed_meanwhile_stays(store: MemoryStore) -> None:
    """The run has seen another tag, or none, when it began to copy."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        for note in ("first", "second"):
            give(upstream, image(note))
            hasty = Hasty(registry, image(f"ours {note}"))
            tally = await sync(hasty, upstream.url)  # type: ignore[arg-type]
            assert (tally.tags_kept, tally.tags_copied, tally.problems) == (1, 0, [])
            assert await named(registry) == str(Digest.of(image(f"ours {note}")))
            await registry.manifests.delete_tag(REPO, V1)
            assert (await sync(registry, upstream.url)).tags_copied == 1


class Hasty:
    """A registry at which a tag is pushed just before the first one that a run writes."""

    def __init__(self, registry: Registry, content: bytes) -> None:
        self._registry, self._content = registry, content
        self.manifests = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry if hasattr(self._registry, name) else self._registry.manifests, name)

    async def follow(self, *given: Any, **named: Any) -> None:
        """See `zotpy.registry.manifests.Manifests.follow`."""
        if self._content:
            content, self._content = self._content, b""
            await push(self._registry, content)
        await self._registry.manifests.follow(*given, **named)


async def test_what_the_mirror_on_demand_has_in_part_is_made_whole(store: MemoryStore) -> None:
    """Its manifests are here before what they name. The upstream is not asked for them again."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        digest = give(upstream, image())
        manifests = registry.manifests
        await manifests.keep(await manifests.accept(REPO, V1, image(), OCI_IMAGE))
        with pytest.raises(BlobUnknown):
            await registry.blobs.stat(REPO, Digest.of(LAYER))
        tally = await sync(registry, upstream.url)
        assert (tally.tags_copied, tally.blobs_copied) == (1, 2)
        await registry.blobs.stat(REPO, Digest.of(LAYER))
        assert (await sync(registry, upstream.url)).tags_unchanged == 1
        assert await named(registry) == digest


async def test_an_image_whose_layer_the_upstream_has_lost_is_a_problem(store: MemoryStore) -> None:
    """No tag leads to it here."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        give(upstream, image())
        del upstream.scripts[LAYER_PATH]
        tally = await sync(registry, upstream.url)
        (problem,) = tally.problems
        assert problem.startswith(f"{NAME}:v1: ")
        assert await named(registry) is None


@pytest.mark.parametrize("has_layer", [False, True])
async def test_a_layer_of_another_repository_comes_if_the_upstream_has_it(
    store: MemoryStore, *, has_layer: bool
) -> None:
    """No manifest of an upstream makes a private blob readable under the mirror's name."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        give(upstream, image())
        private = RepositoryName.parse("team/private")
        session = registry.uploads.begin(private, "sha256")
        await registry.uploads.finish(session, Digest.of(LAYER), Listed([LAYER]), None, len(LAYER))
        if not has_layer:
            del upstream.scripts[LAYER_PATH]
        tally = await sync(registry, upstream.url)
        assert (tally.blobs_mounted, len(tally.problems)) == ((1, 0) if has_layer else (0, 1))
        if not has_layer:
            with pytest.raises(BlobUnknown):
                await registry.blobs.stat(REPO, Digest.of(LAYER))


@pytest.mark.parametrize("artifact_type", ["application/vnd.cncf.notary.signature", "application/vnd.example.sbom"])
async def test_only_signed_images(store: MemoryStore, artifact_type: str) -> None:
    """A tag of cosign's or a signature among the referrers is enough; other referrers are not."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        digest = give(upstream, image())
        assert (await sync(registry, upstream.url, only_signed=True)).tags_unsigned == 1
        listed = {"schemaVersion": 2, "manifests": [{"digest": "sha256:" + "0" * 64, "artifactType": artifact_type}]}
        upstream.scripts[REFERRERS + digest] = [Reply(200, json.dumps(listed).encode(), {"Content-Type": OCI_INDEX})]
        is_signature = "signature" in artifact_type
        tally = await sync(registry, upstream.url, only_signed=True)
        assert (tally.tags_copied, tally.tags_unsigned) == ((1, 0) if is_signature else (0, 1))
        tag = f"{fallback_tag(Digest.parse(digest))}.sig"
        list_tags(upstream, "v1", tag)
        upstream.scripts[f"/v2/{NAME}/manifests/{tag}"] = [manifest(image("signature"))]
        tally = await sync(registry, upstream.url, only_signed=True)
        assert (tally.tags_copied, tally.tags_unchanged, tally.tags_unsigned) == (
            (1, 1, 0) if is_signature else (2, 0, 0)
        )


@pytest.mark.parametrize("told", [None, "application/vnd.oci.empty.v1+json"])
async def test_a_list_that_does_not_say_what_referrers_are(store: MemoryStore, told: str | None) -> None:
    """Then the referrers are read: cosign writes such a list where the registry has none of its own."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        digest = give(upstream, image())
        bundle = json.dumps(
            json.loads(image("signature")) | {"artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"}
        ).encode()
        of_bundle, gone = str(Digest.of(bundle)), "sha256:" + "0" * 64
        listed = {"manifests": [{"digest": each, "artifactType": told} for each in ("odd", gone, of_bundle)]}
        upstream.scripts[REFERRERS + digest] = [Reply(200, json.dumps(listed).encode(), {"Content-Type": OCI_INDEX})]
        assert (await sync(registry, upstream.url, only_signed=True)).tags_unsigned == 1
        upstream.scripts[f"/v2/{NAME}/manifests/{of_bundle}"] = [manifest(bundle)]
        assert (await sync(registry, upstream.url, only_signed=True)).tags_copied == 1


async def test_an_upstream_without_a_list(store: MemoryStore) -> None:
    """Names are enough. A pattern beside them is a failure, after the names were copied."""
    registry = await open_replica(store)
    content = MirroredContent(NAME, "hub")
    async with running() as upstream:
        list_tags(upstream, "v1")
        give(upstream, image())
        upstream.scripts["/v2/_catalog"] = [Reply(503)]
        assert (await sync(registry, upstream.url, content=(content,))).tags_copied == 1
        with pytest.raises(UpstreamUnavailable):
            await sync(registry, upstream.url, content=(content, MirroredContent("other/*")))


async def test_the_next_address_is_asked(store: MemoryStore) -> None:
    """If the first does not answer, before anything was copied or after some of it."""
    registry = await open_replica(store)
    async with running() as first, running() as second:
        tags = [f"v{number}" for number in range(12)]
        for upstream in (first, second):
            list_tags(upstream, *tags)
        for tag in tags:
            first.scripts[f"/v2/{NAME}/manifests/{tag}"] = [Reply(503)]
            give(second, image(tag), tag)
        tally = await sync(registry, first.url, second.url)
        assert (tally.tags_copied, tally.problems) == (12, [])
        with pytest.raises(SourceGone):
            await sync(await open_replica(MemoryStore()), first.url)


async def test_a_registry_is_due_once_in_its_interval() -> None:
    """By the store's clock, after a run that came to its end. Other content is due at once, and so is all if asked."""
    clock = Clock()
    registry = await open_replica(MemoryStore(clock))
    async with running() as upstream:
        list_tags(upstream)
        settings = mirrored(upstream.url, poll_interval_s=600.0)
        job = Job(MirrorSettings(registries=(settings,)), settings, once_in_its_interval=True)
        assert await job.is_due(registry)
        await job.run(registry, lambda _, __: False, Tally())
        clock.advance(599)
        assert not await job.is_due(registry)
        assert await replace(job, once_in_its_interval=False).is_due(registry)
        other = replace(job, registry=replace(settings, content=(MirroredContent("other"),)))
        assert await other.is_due(registry)
        clock.advance(1)
        assert await job.is_due(registry)


async def test_immutable_tags_stay(store: MemoryStore) -> None:
    """A rule of ours counts for copies, too."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "fixed")
        first = give(upstream, image(), "fixed")
        assert (await sync(registry, upstream.url)).tags_copied == 1
        give(upstream, image("moved"), "fixed")
        tally = await sync(registry, upstream.url)
        assert (len(tally.problems), await named(registry, Tag("fixed"))) == (1, first)


async def test_a_tag_that_takes_too_long(store: MemoryStore) -> None:
    """It is a problem, and the next run tries again."""
    registry = await open_replica(store)
    async with running() as upstream:
        list_tags(upstream, "v1")
        give(upstream, image())
        upstream.scripts[TAG_THERE] = [Reply(503)]
        tally = await sync(
            registry, upstream.url, timeout_s=0.1, max_retries=50, retry_delay_s=5.0, max_retry_delay_s=5.0
        )
        (problem,) = tally.problems
        assert problem == f"{NAME}:v1: it was not here after 0.1 s"
