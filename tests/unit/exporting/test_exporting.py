"""Exports of a registry in memory into directories: what is lost, damaged, deleted meanwhile, or need not be here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.blackbox.images import IMAGE_MANIFEST, Layer, Layout
from tests.unit.registry.support import open_replica
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.exporting.exporter import Exported
from zotpy.exporting.jobs import plan
from zotpy.importing.copying import Copier
from zotpy.importing.importer import Importer
from zotpy.importing.selection import Selection
from zotpy.importing.tally import Tally
from zotpy.layouts.index import REF_NAME
from zotpy.layouts.layout_files import directory_files
from zotpy.layouts.source import one_layout
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "team/app"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
LAYER = Layer(b"a layer", "sha256:" + "0" * 64)


@dataclass
class Scene:
    """A registry in memory, a layout that is imported into it, and a directory to export to."""

    directory: Path
    layout: Layout = field(init=False)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.layout = Layout(self.directory / "layout")

    async def take_in(self, name: str = NAME) -> Tally:
        """Import the layout."""
        tally, registry = Tally(), await open_replica(self.store)
        source = one_layout(directory_files(self.layout.path), name, 1 << 20)
        copier = Copier(source, registry, lambda _, __: False, tally, 3)
        await Importer(source, copier, Selection(), tally, 3).run()
        return tally

    async def lose(self, digest: str) -> None:
        """Let the store lose a blob."""
        listed = (await self.store.list("")).objects
        await self.store.delete_many([each.key for each in listed if digest.partition(":")[2] in each.key])

    async def export(self, *names: str, to: str = "zot:out", tags: Sequence[str] = ()) -> Exported:
        """Export, into a directory below that of the scene."""
        kind, _, path = to.partition(":")
        exported = Exported()
        await plan(names, f"{kind}:{self.directory / path}", tags, referrers=True).run(
            await open_replica(self.store), exported
        )
        return exported

    def written(self, name: str = NAME) -> dict[str, Any]:
        """Return the index of an exported repository."""
        return dict(json.loads((self.directory / "out" / name / "index.json").read_bytes()))

    def has(self, digest: str, name: str = NAME) -> bool:
        """Say whether content was written."""
        return (self.directory / "out" / name / "blobs" / digest.replace(":", "/")).exists()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return an empty registry."""
    return Scene(tmp_path)


def image(layout: Layout, *layers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Add an image, and return its descriptor."""
    config = layout.add_blob(b"{}", "application/vnd.oci.empty.v1+json")
    document = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": layers, **fields}
    return layout.add_blob(json.dumps(document).encode(), IMAGE_MANIFEST)


async def test_no_tag_is_written_of_an_image_that_is_damaged(scene: Scene) -> None:
    """Each of its tags is named as a problem, and everything else is written."""
    layer = scene.layout.add_blob(LAYER.content, "application/vnd.oci.image.layer.v1.tar")
    damaged, good = image(scene.layout, layer), image(scene.layout)
    for tag in ("a", "b"):
        scene.layout.tag(damaged, tag)
    scene.layout.tag(good, "c")
    assert (await scene.take_in()).tags_copied == 3
    await scene.lose(layer["digest"])
    exported = await scene.export()
    assert [problem.partition(": ")[0] for problem in exported.problems] == [f"{NAME}:a", f"{NAME}:b"]
    assert [each["annotations"][REF_NAME] for each in scene.written()["manifests"]] == ["c"]


async def test_a_damaged_signature_keeps_back_no_image(scene: Scene) -> None:
    """It is named as a problem of its own."""
    subject = image(scene.layout)
    layer = scene.layout.add_blob(LAYER.content, "text/x-signature")
    signature = image(scene.layout, layer, subject=subject)
    scene.layout.tagged.append(signature)
    scene.layout.tag(subject, "v1")
    assert (await scene.take_in()).referrers_copied == 1
    await scene.lose(layer["digest"])
    exported = await scene.export()
    (problem,) = exported.problems
    assert problem.startswith(f"{NAME}@{signature['digest']}: ")
    assert (exported.tags, exported.referrers) == (1, 0)
    assert [each["digest"] for each in scene.written()["manifests"]] == [subject["digest"]]


async def test_layers_that_need_not_be_here(scene: Scene) -> None:
    """Those of Windows, for example. Copies have those that the source has, and do without the others."""
    here = scene.layout.add_blob(LAYER.content, FOREIGN)
    absent = str(Digest.of(b"x"))
    elsewhere = {"mediaType": FOREIGN, "digest": absent, "size": 1, "urls": ["https://example.com/x"]}
    scene.layout.tag(image(scene.layout, here, elsewhere), "v1")
    tally = await scene.take_in()
    assert (tally.tags_copied, tally.problems) == (1, [])
    assert tally.blobs_copied == 2  # a config and the layer
    exported = await scene.export()
    assert exported.problems == []
    assert scene.has(here["digest"])
    assert not scene.has(absent)


async def test_a_repository_that_does_not_exist_holds_up_no_other(scene: Scene) -> None:
    """It is a problem if an argument names it."""
    scene.layout.tag(image(scene.layout), "v1")
    await scene.take_in()
    exported = await scene.export("never/pushed", NAME)
    (problem,) = exported.problems
    assert problem.startswith("never/pushed: ")
    assert exported.repositories == 1


async def test_a_repository_that_is_deleted_meanwhile_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no problem: replicas serve while the command runs."""
    scene.layout.tag(image(scene.layout), "v1")
    await scene.take_in()
    names = [RepositoryName.parse(name) for name in ("deleted/meanwhile", NAME)]

    async def listed(*_: object) -> list[RepositoryName]:
        return names

    monkeypatch.setattr("zotpy.exporting.jobs.Job._repositories", listed)
    exported = await scene.export()
    assert (exported.problems, exported.repositories) == ([], 1)


async def test_a_pattern_that_matches_no_tag_is_a_problem(scene: Scene) -> None:
    """Otherwise a script would take a layout without images for a copy; a repository without such tags is none."""
    for tag, name in (("v1", NAME), ("latest", "team/other")):
        scene.layout.tag(image(scene.layout), tag)
        await scene.take_in(name)
    exported = await scene.export(tags=["w*"])
    assert (exported.problems, exported.tags) == (["no tag matches --tags: correct the pattern, or leave it out"], 0)
    exported = await scene.export(tags=["late*"])
    assert (exported.problems, exported.tags) == ([], 1)


@pytest.mark.parametrize("to", ["zot:out", "oci-archive:out.tar"])
async def test_an_export_is_not_replaced_by_one_without_images(scene: Scene, to: str) -> None:
    """If a wrong pattern matches no tag, what an earlier run has written stays."""
    scene.layout.tag(image(scene.layout), "v1")
    await scene.take_in()
    await scene.export(NAME, to=to)
    files = [path for path in scene.directory.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    exported = await scene.export(NAME, to=to, tags=["w*"])
    assert (exported.repositories, len(exported.problems)) == (0, 1)
    assert {path: path.read_bytes() for path in scene.directory.rglob("*") if path.is_file()} == before
