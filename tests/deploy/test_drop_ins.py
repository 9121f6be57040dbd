"""The drop-ins of `deploy/baremetal`: systemd takes each with each unit that its own first lines name."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.test_units import UNITS, analyze
from tests.processes import find_program

if TYPE_CHECKING:
    from pathlib import Path

DROP_INS = sorted(UNITS.parent.glob("*.conf"))


def installed(drop_in: Path) -> list[tuple[list[str], str]]:
    """Return the commands in a drop-in's first lines that install it, and the unit that each is for."""
    commands = [line.removeprefix("#").split() for line in drop_in.read_text().splitlines() if "install -D" in line]
    return [(command, command[-1].split("/")[-2].removesuffix(".d")) for command in commands]


PLACES = [
    pytest.param(drop_in, command, unit, id=f"{drop_in.stem}-{unit}")
    for drop_in in DROP_INS
    for command, unit in installed(drop_in)
]


def test_each_drop_in_says_how_it_is_installed() -> None:
    """Otherwise the tests below would leave it out."""
    assert {drop_in.name for drop_in in DROP_INS} == {"cache.conf", "upstreams.conf", "users.conf"}
    assert all(map(installed, DROP_INS))


@pytest.mark.parametrize(("drop_in", "command", "unit"), PLACES)
def test_systemd_takes_the_drop_in(drop_in: Path, command: list[str], unit: str, tmp_path: Path) -> None:
    """It finds nothing wrong with the unit and its drop-in together, and would find a name that it does not know.

    The command puts the drop-in where systemd looks for it.
    """
    program = tmp_path / "opt/zotpy/current/bin/zotpy"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = tmp_path / command[-1].lstrip("/").replace("@.", "@5001.")
    words = [*command[:-2], str(drop_in), str(made)]
    subprocess.run([find_program(words[0], "apt-get install coreutils"), *words[1:]], check=True)
    file = made.parent.with_name(unit.replace("@.", "@5001."))
    file.write_text((UNITS / unit).read_text().replace("=/opt/zotpy", f"={tmp_path}/opt/zotpy"))
    verified = analyze("verify", "--man=no", file)
    assert [line for line in verified.stderr.splitlines() if "zotpy" in line or drop_in.name in line] == []
    assert verified.returncode == 0, verified.stderr
    for name in set(re.findall(r"(?m)^(\w+)=", drop_in.read_text())):
        made.write_text(re.sub(rf"(?m)^{name}=", f"Un{name}=", drop_in.read_text()))
        assert f"Un{name}" in analyze("verify", "--man=no", file).stderr
