"""The architecture as a test: cli -> server -> web -> registry -> bucket -> store -> s3; below all: core and http."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "zotpy": "",
    "zotpy.release": "",
    "zotpy.garbage": "",
    "zotpy.core": "crc32c",
    "zotpy.settings": "zotpy.core",
    "zotpy.libraries": "",
    "zotpy.cel": "cel_expr_python",
    "zotpy.http": "zotpy.libraries h11 trio",
    "zotpy.http.client": "zotpy.core zotpy.http h11 httptools trio",
    "zotpy.http.server": "zotpy.bell zotpy.concurrency zotpy.core zotpy.http zotpy.memory zotpy.store "
    "zotpy.trio_clock zotpy.watching h11 hypercorn quart quart_trio structlog trio werkzeug",
    "zotpy.s3.wire": "zotpy.core crc32c",
    "zotpy.s3": "zotpy.core zotpy.http zotpy.http.client zotpy.libraries zotpy.s3.wire zotpy.settings zotpy.trio_clock "
    "botocore crc32c httpx structlog trio",
    "zotpy.store": "zotpy.core zotpy.trio_clock crc32c structlog trio",
    "zotpy.store.s3": "zotpy.core zotpy.http.client zotpy.s3 zotpy.s3.wire zotpy.store crc32c structlog trio",
    "zotpy.store.opening": "zotpy.core zotpy.s3 zotpy.store zotpy.store.s3 structlog trio",
    "zotpy.concurrency": "zotpy.core zotpy.store structlog trio",
    "zotpy.memory": "zotpy.core trio",
    "zotpy.bucket": "zotpy.concurrency zotpy.core zotpy.memory zotpy.settings zotpy.store zotpy.trio_clock "
    "structlog trio",
    "zotpy.cache": "zotpy.bell zotpy.core zotpy.memory zotpy.services zotpy.settings structlog trio",
    "zotpy.registry.pushing": "zotpy.bucket zotpy.concurrency zotpy.core zotpy.memory zotpy.settings zotpy.store "
    "structlog trio",
    "zotpy.registry": "zotpy.bucket zotpy.cache zotpy.concurrency zotpy.core zotpy.memory zotpy.registry.pushing "
    "zotpy.settings zotpy.store structlog trio",
    "zotpy.collector": "zotpy.bucket zotpy.concurrency zotpy.core zotpy.settings zotpy.store structlog trio",
    "zotpy.bell": "trio",
    "zotpy.files": "zotpy.core",
    "zotpy.trio_clock": "trio",
    "zotpy.watching": "zotpy.bell trio",
    "zotpy.auth": "zotpy.bell zotpy.cel zotpy.core zotpy.files zotpy.settings zotpy.watching argon2 bcrypt "
    "cryptography httpx joserfc passlib sansldap structlog trio",
    "zotpy.upstream": "zotpy.core zotpy.http zotpy.http.client zotpy.settings httpx trio",
    "zotpy.upstream.temporary": "zotpy.core zotpy.s3 zotpy.s3.wire zotpy.settings zotpy.upstream httpx joserfc "
    "structlog trio",
    "zotpy.web": "zotpy.auth zotpy.bell zotpy.bucket zotpy.concurrency zotpy.core zotpy.http zotpy.http.server "
    "zotpy.memory zotpy.mirror zotpy.registry zotpy.registry.pushing zotpy.store quart quart_trio structlog trio",
    "zotpy.mirror": "zotpy.bucket zotpy.concurrency zotpy.core zotpy.memory zotpy.registry zotpy.registry.pushing "
    "zotpy.services zotpy.settings zotpy.store zotpy.upstream zotpy.upstream.temporary structlog "
    "trio",
    "zotpy.telemetry": "zotpy.bell zotpy.libraries zotpy.memory zotpy.release zotpy.store prometheus_client "
    "structlog trio",
    "zotpy.restarts": "",
    "zotpy.services": "trio",
    "zotpy.embedded": "zotpy.concurrency zotpy.core zotpy.restarts zotpy.s3 zotpy.s3.wire crc32c cryptography "
    "structlog trio",
    "zotpy.config": "zotpy.cel zotpy.core zotpy.files zotpy.settings yaml",
    "zotpy.allocator": "",
    "zotpy.startup": "zotpy.config zotpy.release zotpy.settings zotpy.telemetry structlog",
    "zotpy.systemd": "structlog trio",
    "zotpy.storage": "zotpy.allocator zotpy.core zotpy.embedded zotpy.http zotpy.s3 zotpy.settings zotpy.startup "
    "zotpy.store zotpy.store.opening",
    "zotpy.reloading": "zotpy.config zotpy.settings zotpy.startup zotpy.telemetry structlog trio",
    "zotpy.listening": "zotpy.bell zotpy.bucket zotpy.concurrency zotpy.http.server zotpy.registry zotpy.settings "
    "zotpy.startup zotpy.web structlog trio",
    "zotpy.collecting": "zotpy.collector zotpy.settings zotpy.store structlog trio",
    "zotpy.auditing": "zotpy.bell zotpy.services zotpy.settings zotpy.startup zotpy.telemetry zotpy.web",
    "zotpy.login_kinds": "zotpy.auth zotpy.bell zotpy.bucket zotpy.services zotpy.settings zotpy.startup zotpy.store "
    "zotpy.web",
    "zotpy.logins": "zotpy.auth zotpy.bell zotpy.bucket zotpy.core zotpy.login_kinds zotpy.mirror zotpy.services "
    "zotpy.settings zotpy.startup zotpy.store zotpy.web",
    "zotpy.server": "zotpy.auditing zotpy.auth zotpy.bell zotpy.bucket zotpy.cache zotpy.collecting "
    "zotpy.concurrency zotpy.core zotpy.garbage zotpy.http.server zotpy.listening zotpy.logins zotpy.memory "
    "zotpy.mirror zotpy.registry "
    "zotpy.reloading zotpy.services zotpy.settings zotpy.startup zotpy.storage zotpy.store zotpy.systemd "
    "zotpy.telemetry zotpy.web structlog trio",
    "zotpy.workers": "zotpy.auth zotpy.bell zotpy.concurrency zotpy.listening zotpy.reloading zotpy.restarts "
    "zotpy.server zotpy.services zotpy.settings zotpy.startup zotpy.storage zotpy.systemd zotpy.telemetry structlog "
    "structlog trio",
    "zotpy.layouts": "zotpy.core zotpy.store zotpy.upstream trio",
    "zotpy.importing": "zotpy.bucket zotpy.concurrency zotpy.config zotpy.core zotpy.layouts zotpy.memory "
    "zotpy.registry zotpy.registry.pushing zotpy.settings zotpy.startup zotpy.storage zotpy.store zotpy.store.opening "
    "zotpy.upstream trio",
    "zotpy.exporting": "zotpy.concurrency zotpy.core zotpy.importing zotpy.layouts zotpy.registry zotpy.settings "
    "zotpy.store trio",
    "zotpy.syncing": "zotpy.core zotpy.importing zotpy.mirror zotpy.registry zotpy.settings zotpy.startup "
    "zotpy.upstream structlog",
    "zotpy.inspection": "zotpy.bucket zotpy.concurrency zotpy.core zotpy.settings zotpy.store trio",
    "zotpy.commands": "zotpy.auth zotpy.bucket zotpy.collecting zotpy.collector zotpy.concurrency zotpy.config "
    "zotpy.core zotpy.exporting zotpy.importing zotpy.inspection zotpy.layouts zotpy.settings zotpy.startup "
    "zotpy.storage zotpy.store zotpy.syncing zotpy.telemetry zotpy.upstream prometheus_client rich structlog trio",
    "zotpy.serving": "zotpy.config zotpy.http zotpy.libraries zotpy.server zotpy.settings zotpy.startup "
    "zotpy.telemetry zotpy.workers trio",
    "zotpy.cli": "zotpy.commands zotpy.config zotpy.libraries zotpy.release zotpy.serving zotpy.settings",
    "zotpy.__main__": "zotpy.cli zotpy.commands zotpy.garbage",
}
"""What each part may import beside itself and the standard library; the longest name that fits a module is its part.

Few rows need a word. `zotpy.store.s3` knows the S3 client; the rest of the store knows no S3, and the registry only the
interface. The settings are plain numbers and names, which every layer
may use; how they are read is the matter of configuration alone. The embedded store is the server's matter, and waits
for its S3 with our own client.
"""

NAMESAKES = {
    "access": "`http.accessControl`",
    "answers": "what is answered to a request",
    "api_keys": "API keys",
    "auditing": "the audit log",
    "blobs": "blobs",
    "bodies": "bodies of requests and answers",
    "certificates": "certificates of clients",
    "copying": "the copying of images and blobs",
    "errors": "the errors of the package",
    "expressions": "expressions in CEL",
    "jobs": "what a command does, by its arguments",
    "listing": "listings of the store",
    "lists": "lists that registries give page by page",
    "login": "who logs in",
    "logins": "the kinds of logins",
    "manifests": "manifests",
    "mirror": "the mirror",
    "opening": "from settings to what is open",
    "places": "where something is, as settings and arguments write it",
    "private_parts": "private parts of libraries",
    "ranges": "ranges of bytes",
    "reading": "reads of blobs",
    "referrers": "the referrers of a manifest",
    "registry": "all use cases of a registry",
    "serving": "the beginning of `zotpy serve`",
    "transport": "what carries requests to another service",
    "uploads": "uploads",
}
"""What modules of one name are about, wherever they are. No other name belongs to two modules."""


def part_of(module: str) -> str | None:
    """Name the row for a module of ours, or `None`."""
    names = module.split(".")
    prefixes = (".".join(names[:length]) for length in range(len(names), 0, -1))
    return next((prefix for prefix in prefixes if prefix in MAY_IMPORT), None)


def imports_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that is imported, at whatever depth, in a function or for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{above}.{alias.name}") for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """List the imports of a module that its row does not allow."""
    part = part_of(module)
    if part is None or (part == "zotpy" and module != "zotpy"):
        return [f"{module}: belongs to no part: give it a row"]
    allowed = {part, *MAY_IMPORT[part].split()}
    found = []
    for line, name in imports_of(source):
        top = name.partition(".")[0]
        target = part_of(name) if top == "zotpy" else top
        if target not in allowed and target not in sys.stdlib_module_names:
            found.append(f"{module}:{line}: {part} may not import {name}")
    return found


def test_imports_go_rightwards_and_down_only() -> None:
    """No module imports what its layer may not know."""
    found = []
    for file in sorted((ROOT / "zotpy").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found += violations(module, file.read_text())
    assert found == []


def test_one_name_means_one_thing() -> None:
    """A name tells a module from all others, unless they are about the same thing in several layers."""
    names = Counter(file.stem for file in (ROOT / "zotpy").rglob("*.py") if not file.stem.startswith("__"))
    assert {name for name, count in names.items() if count > 1} == NAMESAKES.keys()


def test_an_import_to_the_left_is_found() -> None:
    """The check sees imports in functions, of packages by name, and of libraries."""
    assert violations("zotpy.core.names", "def f():\n    import httpx\n") == [
        "zotpy.core.names:2: zotpy.core may not import httpx"
    ]
    assert violations("zotpy.registry.blobs", "from zotpy import web") != []
    assert violations("zotpy.registry.blobs", "from zotpy.store.s3 import S3Store") != []
    assert violations("zotpy.s3.wire.signing", "from zotpy.s3 import client") != []
    assert violations("zotpy.s3.wire.signing", "from . import responses") != []
    assert violations("zotpy.store.memory_store", "import httpx") != []
    assert violations("zotpy.newcomer", "") != []


def test_an_import_to_the_right_is_allowed() -> None:
    """The check lets pass what the layers are for."""
    assert violations("zotpy.web.blobs", "from zotpy.registry.blobs import Blobs\nimport quart\nimport re") == []
    assert violations("zotpy.s3.client", "from zotpy.s3.wire import signing") == []
    assert violations("zotpy.core.names", "from zotpy.core import errors") == []
