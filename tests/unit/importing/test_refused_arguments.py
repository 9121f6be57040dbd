"""Arguments of imports and exports that cannot be: the command says what to write, and opens no bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from zotpy.cli import main

if TYPE_CHECKING:
    from pathlib import Path

ONLY_LAYOUTS = "--as REPOSITORY is only for the sources oci: and oci-archive:"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "import old.example/a/b:v1",
            "but repositories are copied: write the name a/b, and --tags v1",
        ),
        ("import old.example/a@sha256:00", "names one image, but repositories are copied: write the name a"),
        ("import old.example/a --as b", f"old.example/a: {ONLY_LAYOUTS}"),
        ("import zot:{here} --as b", ONLY_LAYOUTS),
        ("import oci:{here}", "has no name of a repository: write one with --as REPOSITORY"),
        ("import oci:{here} --as B", "is not a repository name"),
        ("import old.example --cert-dir {here}/absent", "absent: No such file or directory"),
        ("import old.example --cert-dir {here}/certs", "ca.crt: "),
        ("import old.example --username a --password-file {here}/absent", "absent: No such file or directory"),
        ("import old.example --credentials-file {here}/absent", "absent"),
        ("import old.example --tags [", "a bracket is not closed"),
        ("export a --to oci:{here}/file", "file is no directory"),
        ("export --to zot:{here}/file", "file is no directory"),
        ("export a --to oci-archive:{here}", "is a directory: name a file"),
        ("export a --to {here}/file", "is not a target"),
    ],
)
def test_arguments_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    """Also what can only be seen in files."""
    (tmp_path / "file").touch()
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.crt").write_text("no certificate")
    words = arguments.format(here=tmp_path).split()
    assert main([*words, "--root", str(tmp_path / "data")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
