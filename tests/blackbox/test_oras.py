"""oras pushes artifacts, attaches others to them, finds those and pulls them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import Layer, Layout, file_digest, stored_blobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.blackbox.clients import Client

PLAIN = "--plain-http"
COPY_PLAIN = ("--from-plain-http", "--to-plain-http")
BOOK = "application/vnd.example.book"
SIGNATURE = "application/vnd.example.signature"
REPORT = "application/vnd.example.report+json"


@pytest.fixture
def files(tmp_path: Path, layers: list[Layer]) -> Path:
    """Return a directory with a large file, a small one and an empty one."""
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "large.bin").write_bytes(layers[0].content)
    (directory / "notes.txt").write_text("a small file\n")
    (directory / "empty").touch()
    return directory


def test_files_come_back_bit_for_bit(oras: Client, registry: str, repository: str, files: Path, tmp_path: Path) -> None:
    """The files of an artifact, an empty one too, are pulled as they were pushed."""
    names = sorted(path.name for path in files.iterdir())
    typed = [f"{name}:{BOOK}" for name in names]
    oras("push", PLAIN, "--artifact-type", BOOK, f"{registry}/{repository}:v1,v2", *typed, cwd=files)
    oras("pull", PLAIN, "--output", tmp_path / "pulled", f"{registry}/{repository}:v2")
    assert {path.name: file_digest(path) for path in (tmp_path / "pulled").iterdir()} == {
        name: file_digest(files / name) for name in names
    }


def test_attached_artifacts_are_found_by_type(oras: Client, registry: str, repository: str, files: Path) -> None:
    """What was attached to an artifact, and to what is attached, is listed with its annotations, by type too."""
    subject = f"{registry}/{repository}:v1"
    oras("push", PLAIN, subject, f"notes.txt:{BOOK}", cwd=files)
    signature = attach(oras, subject, SIGNATURE, files, "signed=yes")
    report = attach(oras, subject, REPORT, files, "scanned=today")
    countersignature = attach(oras, f"{registry}/{repository}@{signature}", SIGNATURE, files, "signed=again")

    assert referrers(oras, subject) == {signature: "yes", report: None}
    assert referrers(oras, subject, SIGNATURE) == {signature: "yes"}
    assert referrers(oras, f"{registry}/{repository}@{signature}") == {countersignature: "again"}


def test_recursive_copy_takes_the_referrers_along(
    oras: Client, registry: str, repository: str, index: Layout, files: Path, tmp_path: Path
) -> None:
    """An index copied with its referrers, from a layout and within the registry, arrives as the same bytes."""
    source, target = f"{registry}/{repository}/source:v1", f"{registry}/{repository}/target:v1"
    oras("cp", "--from-oci-layout", "--to-plain-http", f"{index.path}:index", source)
    signature = attach(oras, source, SIGNATURE, files, "signed=yes")
    oras("cp", "--recursive", *COPY_PLAIN, source, target)

    assert referrers(oras, target) == {signature: "yes"}
    oras("cp", "--from-plain-http", "--to-oci-layout", target, f"{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)


def test_tags_are_listed_and_a_deleted_manifest_is_not_found(
    oras: Client, registry: str, repository: str, files: Path
) -> None:
    """Tags are listed in order, and none is left once their manifest is deleted."""
    name = f"{registry}/{repository}"
    oras("push", PLAIN, f"{name}:a,c,b", f"notes.txt:{BOOK}", cwd=files)
    assert oras("repo", "tags", PLAIN, name).split() == ["a", "b", "c"]
    assert oras("repo", "tags", PLAIN, "--last", "a", name).split() == ["b", "c"]
    assert repository in oras("repo", "ls", PLAIN, registry).split()

    digest = oras("resolve", PLAIN, f"{name}:a")
    oras("manifest", "delete", PLAIN, "--force", f"{name}@{digest}")
    assert "not found" in oras.refused("resolve", PLAIN, f"{name}:b")


def test_referrers_list_forgets_a_deleted_referrer(oras: Client, registry: str, repository: str, files: Path) -> None:
    """A referrer that was deleted is no longer listed at its subject; the others are."""
    subject = f"{registry}/{repository}:v1"
    oras("push", PLAIN, subject, f"notes.txt:{BOOK}", cwd=files)
    first = attach(oras, subject, SIGNATURE, files, "signed=first")
    second = attach(oras, subject, SIGNATURE, files, "signed=second")
    oras("manifest", "delete", PLAIN, "--force", f"{registry}/{repository}@{first}")
    assert referrers(oras, subject) == {second: "second"}


def test_blob_comes_back_and_can_be_deleted(oras: Client, registry: str, repository: str, files: Path) -> None:
    """A blob pushed on its own is fetched as the same bytes until it is deleted."""
    blob = f"{registry}/{repository}@sha256:{file_digest(files / 'large.bin')}"
    oras("blob", "push", PLAIN, blob, files / "large.bin")
    oras("blob", "fetch", PLAIN, "--output", files / "fetched.bin", blob)
    assert file_digest(files / "fetched.bin") == file_digest(files / "large.bin")

    oras("blob", "delete", PLAIN, "--force", blob)
    assert "not found" in oras.refused("blob", "fetch", PLAIN, "--descriptor", blob)


def attach(oras: Client, subject: str, artifact_type: str, files: Path, annotation: str) -> str:
    """Attach a small file to the subject and return the digest of what was attached."""
    options = ["--artifact-type", artifact_type, "--annotation", annotation, "--format", "json"]
    options += ["--distribution-spec", "v1.1-referrers-api"]
    attached: str = json.loads(oras("attach", PLAIN, *options, subject, "notes.txt", cwd=files))["digest"]
    return attached


def referrers(oras: Client, subject: str, artifact_type: str = "") -> dict[str, str | None]:
    """Return, for each digest that refers directly to the subject, its annotation `signed`."""
    options = ["--format", "json", "--depth", "1", "--distribution-spec", "v1.1-referrers-api"]
    options += ["--artifact-type", artifact_type] if artifact_type else []
    found = json.loads(oras("discover", PLAIN, *options, subject))["referrers"]
    return {entry["digest"]: entry["annotations"].get("signed") for entry in found}
