"""Layouts that are read: what their index says, and files that are not as they should be."""

from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from zotpy.core.digests import Digest
from zotpy.importing.importer import Listed as Items
from zotpy.layouts.index import REF_NAME, Listed, read_index
from zotpy.layouts.layout_files import archive_files, directory_files
from zotpy.layouts.source import one_layout, tree_of_layouts
from zotpy.layouts.writing import DirectoryWriter, WrongContent
from zotpy.upstream import NotAtUpstream, UpstreamBroken

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "application/vnd.oci.image.manifest.v1+json"
ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
MOST_BYTES = 1000


def descriptor(digest: Digest, name: object = None) -> dict[str, Any]:
    """Return a descriptor, with a name if there is one."""
    annotations = {} if name is None else {"annotations": {REF_NAME: name}}
    return {"mediaType": IMAGE, "digest": str(digest), "size": 1, **annotations}


@pytest.mark.parametrize(
    ("manifests", "tags"),
    [
        ([descriptor(ONE, "a"), descriptor(TWO, "b")], {"a": ONE, "b": TWO}),
        ([descriptor(ONE, "docker.io/library/nginx:1.25")], {"1.25": ONE}),
        ([descriptor(ONE)], {"latest": ONE}),
        ([descriptor(ONE), descriptor(TWO)], {}),
        ([descriptor(ONE, 5), descriptor(TWO, "not a tag")], {}),
        ([{"digest": "md5:1"}, {"digest": 1}, "x", descriptor(ONE, "a")], {"a": ONE}),
        (None, {}),
    ],
)
def test_tags_of_an_index(manifests: object, tags: dict[str, Digest]) -> None:
    """The annotation names the tag, also as a whole name. An only image without a name is `latest`."""
    found = read_index(json.dumps({"manifests": manifests}).encode(), "here")
    assert found.tags == {tag: Listed(digest, IMAGE) for tag, digest in tags.items()}


def test_an_index_tells_media_types() -> None:
    """Those of the manifests that it lists."""
    found = read_index(json.dumps({"manifests": [descriptor(ONE)]}).encode(), "here")
    assert (found.media_type_of(ONE), found.media_type_of(TWO)) == (IMAGE, "")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_index(content: bytes) -> None:
    """It is the source's fault."""
    with pytest.raises(UpstreamBroken, match="is not the index"):
        read_index(content, "here")


@pytest.mark.parametrize("size", [-1, -512, -1024, 2**60, 2**87])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
async def test_a_tar_whose_lengths_are_wrong_is_refused(tmp_path: Path, size: int, kind: bytes) -> None:
    """Neither the list of its files nor a read takes more memory than is allowed."""
    head = tarfile.TarInfo("index.json")
    head.size, head.type = size, kind
    archive = tmp_path / "tar"
    archive.write_bytes(head.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)
    with pytest.raises(UpstreamBroken):
        await (await archive_files(archive)).read("index.json", 1000)


async def test_files_of_a_directory_and_of_a_tar(tmp_path: Path) -> None:
    """Both give the same bytes, whole or in pieces, and no more than is allowed."""
    (tmp_path / "in" / "blobs").mkdir(parents=True)
    content = bytes(range(256)) * 2000
    (tmp_path / "in" / "blobs" / "long").write_bytes(content)
    archive = tmp_path / "tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "in", ".")
    for files in (directory_files(tmp_path / "in"), await archive_files(archive)):
        assert await files.read("blobs/long", len(content)) == content
        with pytest.raises(UpstreamBroken, match="longer than"):
            await files.read("blobs/long", len(content) - 1)
        async with files.open("blobs/long") as stream:
            assert stream.length == len(content)
            assert b"".join([piece async for piece in stream.pieces()]) == content
        for missing in ("blobs", "blobs/none", "blobs/long/more"):
            with pytest.raises(NotAtUpstream, match=f"{tmp_path}.*{missing}"):
                await files.read(missing, 1)


async def test_what_is_no_tar(tmp_path: Path) -> None:
    """A compressed tar would have to be read from its beginning for each blob."""
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(UpstreamBroken, match="not an uncompressed tar"):
        await archive_files(tmp_path / "other")
    with pytest.raises(NotAtUpstream):
        await archive_files(tmp_path / "none")


async def test_a_manifest_must_have_its_digest(tmp_path: Path) -> None:
    """A file with other bytes is not handed on."""
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    (tmp_path / "blobs" / "sha256" / ONE.hex).write_bytes(b"other")
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [descriptor(ONE, "a")]}))
    source = one_layout(directory_files(tmp_path), "team/app", MOST_BYTES)
    assert [name async for name in source.repositories()] == ["team/app"]
    with pytest.raises(UpstreamBroken, match="has the digest"):
        await source.manifest("team/app", "a")
    with pytest.raises(NotAtUpstream):
        await source.manifest("team/app", "b")
    (tmp_path / "blobs" / "sha256" / ONE.hex).write_bytes(b"1")
    assert (await source.manifest("team/app", "a")).media_type == IMAGE


async def test_repositories_of_a_tree(tmp_path: Path) -> None:
    """Directories that are no repositories are passed over."""
    for name in ("a", "a/b", "a/blobs/c", "Upper", "_trivy/d", "e/f"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "index.json").write_text("{}")
    source = tree_of_layouts(tmp_path, MOST_BYTES)
    assert sorted([name async for name in source.repositories()]) == ["a", "a/b", "e/f"]
    with pytest.raises(NotAtUpstream):
        assert [name async for name in tree_of_layouts(tmp_path / "none", MOST_BYTES).repositories()]


async def test_damaged_bytes_are_not_written(tmp_path: Path) -> None:
    """Neither other bytes nor too many or too few of them leave a file."""
    writer = DirectoryWriter(tmp_path)
    for content in (b"2", b"11", b""):
        with pytest.raises(WrongContent):
            await writer.write(ONE, 1, Items([content]))
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []
    await writer.write(ONE, 1, Items([b"1"]))
    assert await writer.has(ONE, 1)
    assert not await writer.has(TWO, 1)
