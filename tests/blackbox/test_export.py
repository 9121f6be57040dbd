"""`zotpy export` into layouts, which skopeo and a second registry read."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import Layout, large_layer, small_layer, stored_blobs
from tests.blackbox.imports import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.servers import Bucket

REPO = "team/app"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return a layout of an image and an index."""
    made = Layout(tmp_path / "layout")
    made.tag(made.add_image([large_layer(), small_layer("h11")]), "image")
    images = {name: made.add_image([small_layer("h11"), small_layer("sniffio")], name) for name in ("amd64", "arm64")}
    made.tag(made.add_index(images), "index")
    return made


@pytest.fixture
def targets(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[tuple[Target, Target]]:
    """Return two registries without content, whose replicas are not started."""
    made = Target(bucket, f"{prefix}/one", tmp_path / "one"), Target(bucket, f"{prefix}/two", tmp_path / "two")
    try:
        yield made
    finally:
        for each in made:
            each.replica.process.kill()


def test_a_layout_comes_in_and_goes_out(
    targets: tuple[Target, Target], layout: Layout, skopeo: Client, tmp_path: Path
) -> None:
    """A layout that is imported and exported again has the same blobs, and a second export writes nothing."""
    one, _ = targets
    told = one.told(f"oci:{layout.path}", "--as", REPO)
    assert (told["repositories"], told["tags_copied"], told["problems"]) == (1, 2, [])
    out = tmp_path / "out"
    assert one.told(REPO, "--to", f"oci:{out}", command="export")["tags"] == 2
    assert stored_blobs(out) == stored_blobs(layout.path)
    again = one.told(REPO, "--to", f"oci:{out}", command="export")
    assert (again["blobs_written"], again["bytes_written"]) == (0, 0)
    for name in ("image", "index"):
        skopeo("copy", "--all", f"oci:{out}:{name}", f"oci:{tmp_path / 'copied'}:{name}")
    assert stored_blobs(tmp_path / "copied") == stored_blobs(layout.path)


def test_a_file_goes_from_one_registry_to_another(
    targets: tuple[Target, Target], layout: Layout, skopeo: Client, crane: Client, tmp_path: Path
) -> None:
    """A tar that one registry writes, and that skopeo writes, is read by the other."""
    one, two = targets
    one.told(f"oci:{layout.path}", "--as", REPO)
    file = tmp_path / "app.tar"
    one.told(REPO, "--tags", "ima*", "--to", f"oci-archive:{file}", command="export")
    with tarfile.open(file) as tar:
        assert tar.getnames()[-2:] == ["oci-layout", "index.json"]
    told = two.told(f"oci-archive:{file}", "--as", "from/zotpy")
    assert told["tags_copied"] == 1
    other = tmp_path / "other.tar"
    skopeo("copy", f"oci:{layout.path}:image", f"oci-archive:{other}")
    assert two.told(f"oci-archive:{other}", "--as", "from/skopeo")["blobs_mounted"] == 3
    two.replica.start()
    digest = layout.tagged[0]["digest"]
    for reference in ("from/zotpy:image", "from/skopeo:latest"):
        assert crane("digest", f"{two.address}/{reference}") == digest
    crane("validate", "--remote", f"{two.address}/from/zotpy:image")


def test_a_tree_as_zot_keeps_it(targets: tuple[Target, Target], layout: Layout, tmp_path: Path) -> None:
    """Each repository is a layout; one may be inside another. Referrers without a tag are found by subject."""
    one, two = targets
    root = tmp_path / "zot"
    subject = layout.tagged[0]
    empty = layout.add_blob(b"{}", "application/vnd.oci.empty.v1+json")
    described = {key: subject[key] for key in ("mediaType", "digest", "size")}
    manifest = {"schemaVersion": 2, "mediaType": subject["mediaType"], "config": empty, "layers": [empty]}
    signature = layout.add_blob(json.dumps(manifest | {"subject": described}).encode(), subject["mediaType"])
    layout.tagged.append(signature)
    layout.tag(subject, "again")
    one.told(f"oci:{layout.path}", "--as", REPO)
    one.told(f"oci:{layout.path}", "--as", f"{REPO}/below", "--tags", "index")
    assert one.told("--to", f"zot:{root}", command="export")["repositories"] == 2
    told = two.told(f"zot:{root}")
    assert (told["repositories"], told["tags_copied"], told["referrers_copied"]) == (2, 4, 1)
    assert two.told(f"zot:{root}")["tags_unchanged"] == 4
    (root / REPO / "blobs" / "sha256" / signature["digest"].removeprefix("sha256:")).unlink()
    assert two.told(f"zot:{root}")["problems"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "oci:out"], "takes one repository"),
        (["a/*", "--to", "oci-archive:out"], "takes one repository"),
        (["A", "--to", "zot:out"], "is not a repository name"),
        (["a", "--to", "out"], "is not a target"),
    ],
)
def test_arguments_that_cannot_be(targets: tuple[Target, Target], arguments: list[str], said: str) -> None:
    """The command says what to write instead, and writes nothing."""
    done = targets[0].run(*arguments, command="export")
    assert done.returncode == 2
    assert said in done.stderr


def test_damaged_files_are_named(targets: tuple[Target, Target], layout: Layout, tmp_path: Path) -> None:
    """A blob with other bytes, and a directory that is no layout."""
    one, _ = targets
    (tmp_path / "empty").mkdir()
    done = one.run(f"oci:{tmp_path / 'empty'}", "--as", REPO)
    assert (done.returncode, "index.json does not exist" in done.stderr) == (1, True)
    digest = json.loads((layout.path / "blobs" / "sha256" / layout.tagged[0]["digest"][7:]).read_bytes())["layers"][1]
    (layout.path / "blobs" / "sha256" / digest["digest"][7:]).write_bytes(b"other")
    done = one.run(f"oci:{layout.path}", "--as", REPO)
    assert done.returncode == 1
    assert f"not copied: {REPO}:image" in done.stderr


def test_a_directory_that_cannot_be_written(targets: tuple[Target, Target], layout: Layout, tmp_path: Path) -> None:
    """The command says which, also in its summary."""
    one, _ = targets
    one.told(f"oci:{layout.path}", "--as", REPO)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blobs").write_text("no directory")
    done = one.run(REPO, "--to", f"oci:{tmp_path / 'out'}", "--json", command="export")
    (failure,) = json.loads(done.stdout)["failures"]
    assert done.returncode == 1
    assert f"{tmp_path / 'out' / 'blobs'}" in failure
    assert failure in done.stderr
