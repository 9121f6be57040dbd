"""Imports of odd images out of real layouts, and from an upstream that fails, into a registry in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import trio
from structlog.testing import capture_logs

from tests.blackbox.images import Layer, Layout
from tests.unit.registry.support import open_replica
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import IMAGE_TYPE, Upstream, running
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import RepositoryName, Tag
from zotpy.importing.copying import Copier
from zotpy.importing.importer import MOST_FAILURES, Importer, SourceGone
from zotpy.importing.selection import Selection
from zotpy.importing.sources import NOBODY, RegistrySource
from zotpy.importing.tally import Tally
from zotpy.layouts.layout_files import directory_files
from zotpy.layouts.source import one_layout
from zotpy.store.memory_store import MemoryStore
from zotpy.upstream import UpstreamUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.importing.sources import Source
    from zotpy.registry.registry import Registry

NAME = "team/app"
REPO = RepositoryName.parse(NAME)
AT_ONCE = 3
LAYER = Layer(bytes(300_000), "sha256:" + "0" * 64)


@dataclass
class Scene:
    """A registry in memory, and a layout."""

    layout: Layout
    store: MemoryStore = field(default_factory=MemoryStore)
    immutable: set[str] = field(default_factory=set)
    sparse: bool = False

    async def run(self, source: Source | None = None, at_once: int = AT_ONCE, **selected: Any) -> Tally:
        """Import once."""
        tally, registry = Tally(), await self.registry()
        source = source or one_layout(directory_files(self.layout.path), NAME, 1 << 20)
        copier = Copier(source, registry, lambda _, tag: tag in self.immutable, tally, at_once)
        await Importer(source, copier, Selection(**selected), tally, at_once).run()
        return tally

    async def registry(self) -> Registry:
        """Open a replica."""
        return await open_replica(self.store, sparse=self.sparse)

    async def digest_of(self, tag: str) -> str | None:
        """Return what a tag names here."""
        try:
            return str((await (await self.registry()).manifests.stat(REPO, Tag(tag))).digest)
        except ManifestUnknown:
            return None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return a layout without images, and an empty registry."""
    return Scene(Layout(tmp_path / "layout"))


def plain_image(layout: Layout, note: str = "") -> dict[str, Any]:
    """Add an image that does not say what it is, as the specification allows."""
    empty = layout.add_blob(f"{{{note}}}".encode(), "application/vnd.oci.empty.v1+json")
    return layout.add_blob(json.dumps({"schemaVersion": 2, "config": empty, "layers": [empty]}).encode(), IMAGE_TYPE)


def read(layout: Layout, descriptor: dict[str, Any]) -> bytes:
    """Return what was added."""
    return (layout.path / "blobs" / str(descriptor["digest"]).replace(":", "/")).read_bytes()


def index(layout: Layout, *children: dict[str, Any]) -> dict[str, Any]:
    """Add an index."""
    return layout.add_blob(json.dumps({"schemaVersion": 2, "manifests": children}).encode(), OCI_INDEX)


async def test_manifests_that_do_not_say_what_they_are(scene: Scene) -> None:
    """Their fields tell it, also if only an index leads to them; and a child may be a blob."""
    image = plain_image(scene.layout)
    blob = scene.layout.add_blob(b"a file", "text/x-notes")
    scene.layout.tag(index(scene.layout, image, index(scene.layout, image), blob), "all")
    tally = await scene.run()
    assert tally.problems == []
    assert (tally.tags_copied, tally.manifests_copied) == (1, 3)
    assert await scene.digest_of("all") == scene.layout.tagged[0]["digest"]


async def test_a_second_run_copies_only_what_is_new(scene: Scene) -> None:
    """A tag that moved is moved here, too, and its blobs that are here are not read."""
    scene.layout.tag(scene.layout.add_image([LAYER]), "a")
    assert (await scene.run()).blobs_copied == 2
    scene.layout.tag(scene.layout.add_image([LAYER], "arm64"), "b")
    again = await scene.run()
    assert (again.tags_unchanged, again.tags_copied, again.blobs_copied, again.blobs_present) == (1, 1, 1, 1)
    scene.layout.tagged = [{**scene.layout.tagged[1], "annotations": scene.layout.tagged[0]["annotations"]}]
    scene.layout.tag(scene.layout.tagged[0], "c")
    moved = await scene.run()
    assert (moved.tags_copied, moved.bytes_copied) == (2, 0)
    assert await scene.digest_of("a") == await scene.digest_of("b") == await scene.digest_of("c")


async def test_a_blob_of_another_repository_is_not_read_again(scene: Scene) -> None:
    """It costs no transfer. Small ones are looked for only beside the repository."""
    scene.layout.tag(scene.layout.add_image([LAYER]), "a")
    await scene.run()
    again = await scene.run(destination="other")
    assert (again.blobs_mounted, again.blobs_copied) == (1, 1)
    assert again.bytes_copied < len(LAYER.content)


async def test_wrong_bytes_are_not_taken(scene: Scene) -> None:
    """The image with them is left out, and the others come."""
    scene.layout.tag(scene.layout.add_image([LAYER]), "good")
    bad = Layer(b"other bytes", LAYER.diff_id)
    scene.layout.tag(scene.layout.add_image([bad]), "bad")
    (scene.layout.path / "blobs" / "sha256" / Digest.of(bad.content).hex).write_bytes(b"wrong bytes")
    tally = await scene.run()
    (problem,) = tally.problems
    assert problem.startswith(f"{NAME}:bad: ")
    assert await scene.digest_of("good") == scene.layout.tagged[0]["digest"]
    assert await scene.digest_of("bad") is None


@pytest.mark.parametrize("sparse", [False, True])
async def test_parts_of_an_index_that_the_source_does_not_have(scene: Scene, sparse: bool) -> None:  # noqa: FBT001 - a parameter
    """The rule of the registry decides."""
    scene.sparse = sparse
    image = plain_image(scene.layout)
    scene.layout.tag(index(scene.layout, image), "sparse")
    (scene.layout.path / "blobs" / "sha256" / image["digest"].removeprefix("sha256:")).unlink()
    tally = await scene.run()
    assert (tally.tags_copied, len(tally.problems)) == ((1, 0) if sparse else (0, 1))


async def test_immutable_tags_do_not_move(scene: Scene) -> None:
    """The rules of the new registry hold, and the import names the tag that cannot move."""
    scene.immutable = {"v1"}
    scene.layout.tag(plain_image(scene.layout), "v1")
    assert (await scene.run()).problems == []
    before = await scene.digest_of("v1")
    scene.layout.tagged.clear()
    scene.layout.tag(plain_image(scene.layout, '"more": 1'), "v1")
    (problem,) = (await scene.run()).problems
    assert problem.startswith(f"{NAME}:v1: ")
    assert await scene.digest_of("v1") == before


async def test_indexes_inside_each_other(scene: Scene) -> None:
    """A tag whose indexes are nested too deep is not copied, and is named as a problem."""
    inner = plain_image(scene.layout)
    for _ in range(10):
        inner = index(scene.layout, inner)
    scene.layout.tag(inner, "deep")
    (problem,) = (await scene.run()).problems
    assert "deep" in problem
    assert await scene.digest_of("deep") is None


def serve_layout(upstream: Upstream, layout: Layout) -> None:
    """Let an upstream serve what is in a layout. It has no referrers API."""
    tags = {each["annotations"]["org.opencontainers.image.ref.name"]: each for each in layout.tagged}
    upstream.scripts["/v2/_catalog"] = [Reply(200, json.dumps({"repositories": [NAME]}).encode())]
    upstream.scripts[f"/v2/{NAME}/tags/list"] = [Reply(200, json.dumps({"tags": list(tags)}).encode())]
    for file in (layout.path / "blobs" / "sha256").iterdir():
        digest, body = f"sha256:{file.name}", file.read_bytes()
        headers = {"Content-Type": IMAGE_TYPE, "Docker-Content-Digest": digest}
        upstream.scripts[f"/v2/{NAME}/blobs/{digest}"] = [Reply(200, body)]
        upstream.scripts[f"/v2/{NAME}/manifests/{digest}"] = [Reply(200, body, headers)]
    for tag, each in tags.items():
        upstream.scripts[f"/v2/{NAME}/manifests/{tag}"] = upstream.scripts[f"/v2/{NAME}/manifests/{each['digest']}"]


async def test_a_registry_is_asked_for_no_more_than_is_needed(scene: Scene) -> None:
    """A second run asks for the lists, and for the digest of each tag. An API that is missing is asked for once."""
    for number in range(4):
        scene.layout.tag(scene.layout.add_image([LAYER], f"a{number}"), f"v{number}")
    async with running() as upstream, upstream.client() as client:
        serve_layout(upstream, scene.layout)
        source = RegistrySource(client)
        assert (await scene.run(source)).tags_copied == 4
        upstream.seen.clear()
        assert (await scene.run(source)).tags_unchanged == 4
    manifests = [f"/v2/{NAME}/manifests/v{number}" for number in range(4)]
    assert upstream.asked[:2] == ["/v2/_catalog?n=1000", f"/v2/{NAME}/tags/list?n=1000"]
    assert sorted(upstream.asked[2:]) == manifests
    assert {seen.method for seen in upstream.seen[2:]} == {"HEAD"}


async def test_tags_that_are_deleted_meanwhile(scene: Scene) -> None:
    """They are counted, and no problem: the source may change."""
    scene.layout.tag(scene.layout.add_image([LAYER]), "gone")
    async with running() as upstream, upstream.client() as client:
        serve_layout(upstream, scene.layout)
        del upstream.scripts[f"/v2/{NAME}/manifests/gone"]
        tally = await scene.run(RegistrySource(client))
    assert (tally.tags_gone, tally.problems) == (1, [])


async def test_a_source_that_fails_again_and_again(scene: Scene) -> None:
    """The import gives up, and says why."""
    async with running() as upstream, upstream.client() as client:
        tags = [f"v{number}" for number in range(2 * MOST_FAILURES)]
        upstream.scripts[f"/v2/{NAME}/tags/list"] = [Reply(200, json.dumps({"tags": tags}).encode())]
        for tag in tags:
            upstream.scripts[f"/v2/{NAME}/manifests/{tag}"] = [Reply(503)]
        with pytest.raises(SourceGone, match="10 times in a row"):
            await scene.run(RegistrySource(client), repositories=[NAME])


async def test_tags_that_fail_at_the_same_moment(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import gives up once, and logs no others."""
    count, waiting, all_wait = MOST_FAILURES + 5, 0, trio.Event()
    for number in range(count):
        scene.layout.tag(plain_image(scene.layout), f"v{number}")

    async def fail(*_: object) -> NoReturn:
        nonlocal waiting
        waiting += 1
        if waiting == count:
            all_wait.set()
        await all_wait.wait()
        msg = "no answer"
        raise UpstreamUnavailable(msg)

    monkeypatch.setattr("zotpy.layouts.source.LayoutSource.manifest", fail)
    with capture_logs() as logs, pytest.raises(SourceGone, match="10 times in a row: no answer"):
        await scene.run(at_once=count)
    assert logs == []


async def test_names_that_cannot_be_here(scene: Scene) -> None:
    """They are named, and everything else is copied."""
    scene.layout.tag(plain_image(scene.layout), "v1")
    async with running() as upstream, upstream.client() as client:
        serve_layout(upstream, scene.layout)
        upstream.scripts["/v2/_catalog"] = [Reply(200, json.dumps({"repositories": ["Upper", NAME]}).encode())]
        upstream.scripts[f"/v2/{NAME}/tags/list"] = [Reply(200, b'{"tags": ["v1", "no tag"]}')]
        tally = await scene.run(RegistrySource(client))
    assert sorted(problem.partition(": ")[0] for problem in tally.problems) == ["Upper", f"{NAME}:no tag"]
    assert tally.tags_copied == 1


async def test_referrers_are_counted_once(scene: Scene) -> None:
    """Many tags of one image ask for its signatures at the same time."""
    image = plain_image(scene.layout)
    for number in range(6):
        scene.layout.tag(image, f"v{number}")
    empty = scene.layout.add_blob(b"{}", "application/vnd.oci.empty.v1+json")
    for number in range(5):
        signature = {"schemaVersion": 2, "config": empty, "layers": [empty], "subject": image, "annotations": {}}
        content = json.dumps(signature | {"annotations": {"number": str(number)}}).encode()
        scene.layout.tagged.append(scene.layout.add_blob(content, IMAGE_TYPE))
    scene.layout.tag(image, "last")
    tally = await scene.run()
    assert (tally.tags_copied + tally.tags_unchanged, tally.referrers_copied, tally.problems) == (7, 5, [])


@pytest.mark.parametrize("what", ["manifests/refused", "blobs/{}"])
async def test_what_the_source_refuses_is_a_problem(scene: Scene, what: str) -> None:
    """Some registries keep back images by a policy: they are there, and were not copied."""
    scene.layout.tag(scene.layout.add_image([LAYER]), "refused")
    async with running() as upstream, upstream.client() as client:
        serve_layout(upstream, scene.layout)
        refusal = b'{"errors":[{"code":"DENIED","message":"kept back by a policy"}]}'
        upstream.scripts[f"/v2/{NAME}/{what.format(Digest.of(LAYER.content))}"] = [Reply(412, refusal)]
        tally = await scene.run(RegistrySource(client))
    (problem,) = tally.problems
    assert "kept back by a policy" in problem
    assert (tally.tags_gone, tally.tags_copied) == (0, 0)


async def test_a_list_of_tags_that_never_ends_is_a_problem_of_its_repository(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that repository is copied, the summary says why, and the others are copied."""
    monkeypatch.setattr("zotpy.upstream.lists.MOST_TAGS", 1)
    async with running() as upstream:
        upstream.scripts["/v2/_catalog"] = [Reply(200, b'{"repositories": ["endless", "team/none"]}')]
        upstream.scripts["/v2/endless/tags/list"] = [Reply(200, b'{"tags": ["v1", "v2"]}')]
        upstream.scripts["/v2/team/none/tags/list"] = [Reply(200, b'{"tags": []}')]
        async with upstream.client() as client:
            tally = await scene.run(RegistrySource(client))
        assert tally.repositories == 1
        (problem,) = tally.problems
        assert problem.startswith(f"endless: the list of tags of endless at {upstream.url} is longer than 1 tags")


async def test_one_list_of_referrers_that_cannot_be_had_ends_no_others(scene: Scene) -> None:
    """Harbor answers 404 for a list if it has lost one manifest of it. The tag is a problem, and other lists count."""
    broken, good = plain_image(scene.layout, '"broken": 1'), plain_image(scene.layout)
    signature = scene.layout.add_blob(json.dumps(json.loads(read(scene.layout, good)) | {"subject": good}).encode(), "")
    scene.layout.tag(broken, "broken")
    scene.layout.tag(good, "good")
    async with running() as upstream, upstream.client() as client:
        serve_layout(upstream, scene.layout)
        lists = f"/v2/{NAME}/referrers"
        for digest, found in ((good["digest"], [signature]), (signature["digest"], []), (NOBODY, [])):
            body = json.dumps({"manifests": found}).encode()
            upstream.scripts[f"{lists}/{digest}"] = [Reply(200, body, {"Content-Type": OCI_INDEX})]
        tally = await scene.run(RegistrySource(client))
        (problem,) = tally.problems
        assert problem.startswith(f"{NAME}:broken: ")
        assert (tally.tags_copied, tally.referrers_copied) == (2, 1)
        upstream.scripts[f"{lists}/{broken['digest']}"] = [Reply(401)]
        (problem,) = (await scene.run(RegistrySource(client))).problems
        assert "status 401" in problem
        del upstream.scripts[f"/v2/{NAME}/manifests/{broken['digest']}"]
        upstream.scripts[f"{lists}/{broken['digest']}"] = [Reply(404)]
        assert (await scene.run(RegistrySource(client))).problems == []
