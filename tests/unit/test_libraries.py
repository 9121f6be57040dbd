"""If a library lacks a part, changes its parameters or no longer uses it, a start ends with one sentence."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zotpy.http.private_parts import SERVER
from zotpy.libraries import Library, LibraryChanged, Part, check
from zotpy.s3.credentials import BOTOCORE
from zotpy.telemetry.private_parts import PROMETHEUS_CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LIBRARIES = (*SERVER, PROMETHEUS_CLIENT, BOTOCORE)
PARTS = [(library, part) for library in LIBRARIES for part in library.parts]


def each(parts: list[tuple[Library, Part]]) -> pytest.MarkDecorator:
    """Run a test for each of these, by its name."""
    return pytest.mark.parametrize(("library", "part"), parts, ids=[part.name for _, part in parts])


def place_of(name: str) -> tuple[Any, str]:
    """Return the module or class that holds a part, and what it calls it."""
    holder, _, attribute = name.rpartition(".")
    try:
        return import_module(holder), attribute
    except ModuleNotFoundError:
        module, _, of = holder.rpartition(".")
        return getattr(import_module(module), of), attribute


def sentence(library: Library) -> str:
    """Return what a start says, which is one sentence that names the package, its version, and what to install."""
    with pytest.raises(LibraryChanged) as raised:
        check(library)
    said = str(raised.value)
    assert said.startswith(f"{library.package} {version(library.package)}: ")
    assert said.endswith(f"install {library.package}~={library.release}.0")
    assert "\n" not in said
    return said


def test_the_libraries_that_are_installed_have_all_parts() -> None:
    """Nothing is wrong with what the lock file names."""
    check(*LIBRARIES)


@each(PARTS)
def test_a_part_that_is_gone_is_named(library: Library, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of the table is taken away, and named."""
    holder, attribute = place_of(part.name)
    monkeypatch.delattr(holder, attribute)
    assert f"{part.name} is gone" in sentence(library)


@each([(library, part) for library, part in PARTS if part.parameters is not None])
def test_a_part_with_other_parameters_is_named(library: Library, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function of the table gets one more parameter."""
    holder, attribute = place_of(part.name)
    monkeypatch.setattr(holder, attribute, with_parameters(f"{part.parameters} one_more"))
    assert f"{part.name} takes ({part.parameters} one_more) instead of ({part.parameters})" in sentence(library)


@each([(library, part) for library, part in PARTS if part.uses])
def test_a_part_that_no_longer_uses_another_is_named(
    library: Library, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each function of the table does nothing any more: what stands on the parts that it used is lost."""
    holder, attribute = place_of(part.name)
    found = inspect.getattr_static(holder, attribute)
    monkeypatch.setattr(holder, attribute, with_parameters(" ".join(inspect.signature(found).parameters)))
    assert f"{part.name} no longer uses {', '.join(sorted(part.uses.split()))}" in sentence(library)


def with_parameters(names: str) -> Callable[..., None]:
    """Make a function that takes these and does nothing."""

    def nothing() -> None:
        pass

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    nothing.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names.split()])  # type: ignore[attr-defined]
    return nothing


BROKEN = """
import sys
{breaking}
from zotpy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        ("import h11._receivebuffer as m; del m.blank_line_regex", "h11._receivebuffer.blank_line_regex is gone"),
        ("sys.modules['h11._readers'] = None", "h11._connection.Connection.__init__ is gone"),
        (
            "import hypercorn.trio.tcp_server as m; del m.TCPServer._idle_timeout",
            "hypercorn.trio.tcp_server.TCPServer._idle_timeout is gone",
        ),
        ("import hypercorn.trio.run as m; del m.TCPServer", "hypercorn.trio.run.TCPServer is gone"),
        (
            "import h11, types; sys.modules['hypercorn.trio.run'] = types.ModuleType('hypercorn.trio.run')",
            "hypercorn.trio.run.worker_serve cannot be imported (cannot import name",
        ),
        ("import prometheus_client.values as m; del m.ValueClass", "prometheus_client.values.ValueClass is gone"),
    ],
)
def test_a_start_ends_with_that_sentence(breaking: str, said: str, tmp_path: Path) -> None:
    """`zotpy serve` says it in one line, without a traceback, before it listens or touches a store."""
    code, root = BROKEN.format(breaking=breaking), tmp_path / "root"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert done.stderr.startswith("zotpy: ")
    assert not root.exists()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.package)
def test_the_release_is_that_of_the_pin(library: Library) -> None:
    """`pyproject.toml` lets in no other minor version than the one the table was written for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(pin.split("~=") for pin in project["dependencies"])
    assert pins[library.package].split(".")[:2] == library.release.split(".")
    assert len(pins[library.package].split(".")) == 3
