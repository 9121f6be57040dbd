"""`lock_into` of `deploy/venv.sh`: uv installs what a lock file names, or pip where uv cannot or must not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
echo "$*" >>"$0.calls"
case "$*" in
*"config list") echo "$CONFIGURED" ;;
*uv.txt) exit "$NO_UV" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >>"${0%/*}/python.calls"
exit "$UV_FAILS"
"""
UV_ITSELF, BY_UV, BY_PIP = "install uv", "uv pip", "install serve"


@pytest.mark.parametrize(
    ("configured", "no_uv", "uv_fails", "expected"),
    [
        ("global.cert='/etc/ca.pem'", 0, 0, [UV_ITSELF, BY_UV]),
        ("global.index-url='https://mirror.example/simple'", 0, 0, [BY_PIP]),
        (":env:.no-index='true'", 0, 0, [BY_PIP]),
        ("", 1, 0, [UV_ITSELF, BY_PIP]),
        ("", 0, 1, [UV_ITSELF, BY_UV, BY_PIP]),
    ],
)
def test_each_lock_file_is_installed_by_one_of_the_two(
    configured: str, no_uv: int, uv_fails: int, expected: list[str], tmp_path: Path
) -> None:
    """Pip's own index is asked by pip; whatever goes wrong with uv, pip installs the same file, with its hashes."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("python", PYTHON), ("uv", UV)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environ = {"PATH": "/usr/bin:/bin", "CONFIGURED": configured, "NO_UV": str(no_uv), "UV_FAILS": str(uv_fails)}
    script = f"set -eu; . deploy/venv.sh; lock_into {tmp_path} serve"
    subprocess.run(["sh", "-c", script], cwd=CHECKOUT, env=environ, check=True)

    calls = [call for call in (programs / "python.calls").read_text().splitlines() if "config list" not in call]
    assert all("--require-hashes" in call for call in calls)
    assert [said(call) for call in calls] == expected


def said(call: str) -> str:
    """Return which step a command line is."""
    if call.startswith("uv "):
        return BY_UV
    return f"install {Path(call.rsplit(maxsplit=1)[-1]).stem}"
