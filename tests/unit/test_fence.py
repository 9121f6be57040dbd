"""The fence: only `zotpy/http` knows the private parts of HTTP libraries, and its tables list all that it knows."""

from __future__ import annotations

import ast
import importlib
import inspect
from abc import ABC
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zotpy.http.private_parts import SERVER
from zotpy.telemetry.private_parts import PROMETHEUS_CLIENT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FENCED = frozenset({"h11", "hypercorn", "quart", "quart_trio", "werkzeug"})
OTHERS = frozenset(
    {
        "botocore",
        "crc32c",
        "cryptography",
        "httpcore",
        "httptools",
        "httpx",
        "prometheus_client",
        "rich",
        "structlog",
        "trio",
    }
)
"""Libraries of which no module may know a private part."""
PUBLIC = {
    "h11": "",
    "quart": "Response",
    "quart.typing": "ResponseTypes",
    "quart.wrappers": "Request",
    "quart_trio": "QuartTrio",
}
"""What the rest of zotpy may import of the fenced ones, all of it documented; no names: the module itself."""
SUBCLASSED = frozenset({"quart_trio.QuartTrio", "httpx.AsyncBaseTransport", "httpx.AsyncByteStream"})
"""Classes of libraries that are documented as there to be subclassed."""
REPLACED = {"zotpy.telemetry.sharing": "prometheus_client.values.ValueClass"}
"""Parts of libraries that are replaced outside the fence; `zotpy.telemetry.private_parts` lists them."""
READ = {"zotpy.telemetry.tallies": frozenset({"_sum", "_buckets"})}
"""Private values that are read outside the fence; the same lists them."""


class Plain(ABC):  # noqa: B024 - it stands for any class
    """A class that overrides nothing."""

    kind: str = "plain"


ORDINARY = frozenset(vars(Plain)) - {"kind"}
"""What Python gives every class, each version a little more."""


def module_of(file: Path) -> str:
    """Name the module in a file."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def violations(module: str, source: str) -> list[str]:
    """List where a module outside the fence knows what it may not."""
    looked = _Look(module, ast.parse(source))
    return [f"{module}:{line}: {what}" for line, what in sorted(looked.faults)]


class _Look(ast.NodeVisitor):
    """Finds what a module knows of libraries."""

    def __init__(self, module: str, tree: ast.AST) -> None:
        self.faults: list[tuple[int, str]] = []
        self._module = module
        self._names: dict[str, str] = {}
        """What the names of the module stand for, where they were imported from a library."""
        self._own = set(_defined(tree))
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(node, alias.name, "", alias.asname)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._import(node, node.module or "", alias.name, alias.asname or alias.name)

    def _import(self, node: ast.stmt, module: str, name: str, called: str | None) -> None:
        top, full = module.partition(".")[0], f"{module}.{name}".removesuffix(".")
        if top not in FENCED | OTHERS:
            return
        self._names[called or top] = full if called else top
        is_public = name in PUBLIC[module].split() or not name if module in PUBLIC else top not in FENCED
        if not is_public or any(part.startswith("_") for part in full.split(".")):
            self.faults.append((node.lineno, f"imports {full}"))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            if (of := self._meant(base)) and of not in SUBCLASSED and not _is_error(of):
                self.faults.append((node.lineno, f"subclasses {of}"))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of = self._meant(node)
        if of and not isinstance(node.ctx, ast.Load) and REPLACED.get(self._module) != of:
            self.faults.append((node.lineno, f"replaces {of}"))
        is_private = node.attr.startswith("_") and not node.attr.startswith("__")
        if is_private and (of or node.attr not in self._own) and node.attr not in READ.get(self._module, ()):
            self.faults.append((node.lineno, f"reads {ast.unparse(node)}"))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        is_change = ast.unparse(node.func) in {"setattr", "delattr"}
        if is_change and (of := self._meant(node.args[0])):
            self.faults.append((node.lineno, f"replaces a part of {of}"))
        self.generic_visit(node)

    def _meant(self, node: ast.AST) -> str:
        """Return what an expression names of a library, such as `prometheus_client.values.ValueClass`, or nothing."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, "")
        if isinstance(node, ast.Attribute) and (of := self._meant(node.value)):
            return f"{of}.{node.attr}"
        return ""


def _defined(tree: ast.AST) -> Iterator[str]:
    """Yield the private attributes that a module defines itself, and those that the standard library documents."""
    yield from ("_replace", "_asdict", "_exit")  # of named tuples, and of `os`
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"self", "cls", "super()"}:
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _is_error(name: str) -> bool:
    """Say whether a class of a library is one of its errors."""
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    return inspect.isclass(found) and issubclass(found, Exception)


def test_nothing_outside_the_fence_knows_private_parts() -> None:
    """No other module imports a private name, or one of the fenced libraries beyond a few documented names."""
    found = []
    for file in sorted((ROOT / "zotpy").rglob("*.py")):
        if not file.is_relative_to(ROOT / "zotpy" / "http"):
            found += violations(module_of(file), file.read_text())
    assert found == []


def test_what_is_read_outside_the_fence_is_checked_at_the_start() -> None:
    """A release of prometheus_client without these values ends the start, and no count is lost."""
    checked = {name for part in PROMETHEUS_CLIENT.parts for name in part.uses.split()}
    assert frozenset().union(*READ.values()) <= checked


@pytest.mark.parametrize(
    "source",
    [
        "from h11._readers import ChunkedReader",
        "import h11._readers",
        "def f():\n    from hypercorn.trio.tcp_server import TCPServer",
        "import hypercorn",
        "from quart.wrappers.request import Body",
        "from trio._core import Nursery",
        "from prometheus_client.metrics import _validate",
        "import h11\nclass A(h11.Connection): ...",
        "from h11 import Connection\nclass A(Connection): ...",
        "import prometheus_client\nprometheus_client.values.ValueClass = None",
        "import httpx\nhttpx.AsyncClient.send = None",
        "import httpx\nsetattr(httpx, 'get', None)",
        "from werkzeug.local import LocalProxy",
        "def f(response):\n    return response._status",
        "import structlog\nstructlog.get_logger()._context",
    ],
)
def test_a_hole_in_the_fence_is_found(source: str) -> None:
    """The check sees imports at any depth, subclasses, replaced parts and private attributes."""
    assert violations("zotpy.web.newcomer", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import h11\nh11.Connection(h11.CLIENT)",
        "from quart import Response",
        "from quart_trio import QuartTrio\nclass A(QuartTrio): ...",
        "import httpx\nclass A(httpx.AsyncBaseTransport): ...\nclass B(httpx.TransportError): ...",
        "class A:\n    def __init__(self, other):\n        self._a = other._a",
    ],
)
def test_the_fence_has_gates(source: str) -> None:
    """Documented names may be used anywhere."""
    assert violations("zotpy.web.newcomer", source) == []


def listed() -> set[str]:
    """Return the names of all parts in the tables of the fence."""
    return {part.name for library in SERVER for part in library.parts}


def classes() -> Iterator[type]:
    """Yield the classes of the fence."""
    for file in sorted((ROOT / "zotpy" / "http").rglob("*.py")):
        module = importlib.import_module(module_of(file))
        yield from (
            kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__
        )


def overridden() -> Iterator[str]:
    """Yield the name of every part of a library's class that a class of the fence overrides."""
    for kind in classes():
        for name in set(vars(kind)) - ORDINARY:
            base = next(base for base in (*kind.__mro__[1:], kind) if name in vars(base))
            if base.__module__.partition(".")[0] in FENCED:
                yield f"{base.__module__}.{base.__qualname__}.{name}"


def test_every_part_that_the_fence_overrides_is_in_a_table() -> None:
    """What a class of ours takes the place of is checked at each start."""
    found = set(overridden())
    assert len(found) > 20
    assert found - listed() == set()


def test_every_private_import_of_the_fence_is_in_a_table() -> None:
    """What the fence imports from private modules is checked at each start as well."""
    for file in sorted((ROOT / "zotpy" / "http").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FENCED:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    if any(part.startswith("_") for part in full.split(".")):
                        assert any(name.startswith(full) for name in listed()), full


def test_every_private_attribute_that_the_fence_reads_is_in_a_table() -> None:
    """What is not defined there is a library's; a start checks that the library still sets or uses it."""
    trees = [ast.parse(file.read_text()) for file in sorted((ROOT / "zotpy" / "http").rglob("*.py"))]
    known = {name.rpartition(".")[2] for name in listed()}
    known |= {name for library in SERVER for part in library.parts for name in part.uses.split()}
    known |= {name for tree in trees for name in _set_in(tree)}
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in read if name.startswith("_") and not name.startswith("__")} - known == set()


def _set_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of functions, class attributes, and attributes of `self` that a module sets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.ClassDef):
            targets = (target for child in node.body if isinstance(child, ast.Assign) for target in child.targets)
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
