"""The benchmark stands by itself: tests use it, and it uses none of them."""

from __future__ import annotations

import ast
from pathlib import Path

BENCH = Path(__file__).parents[3] / "bench"


def test_nothing_of_the_tests_is_imported() -> None:
    """What only tests use lives below `tests`, so a benchmark runs where they are not."""
    found = []
    for path in BENCH.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{path.relative_to(BENCH)}: {name}" for name in names if name.partition(".")[0] == "tests"]
    assert found == []
