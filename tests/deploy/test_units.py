"""The units of `deploy/baremetal/systemd`, as systemd itself judges them."""

from __future__ import annotations

import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.processes import find_program
from zotpy.config import load_settings

UNITS = Path(__file__).parents[2] / "deploy" / "baremetal" / "systemd"
INSTALL = "apt-get install systemd"
# In tenths: 1.5 of 10. What is left open is the network, which the service is for.
MOST_EXPOSED = 15


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory with the units and the program that they name, under the names that hosts have."""
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for unit in UNITS.iterdir():
        instance = unit.name.replace("@.", "@5001.")
        (folder / instance).write_text(unit.read_text().replace("=/opt/zotpy", f"={tmp_path}/opt/zotpy"))
    program = tmp_path / "opt/zotpy/current/bin/zotpy"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `systemd-analyze`, which needs no running systemd for this."""
    program = find_program("systemd-analyze", INSTALL)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_wrong(root: Path) -> None:
    """Each section, name and value is one that systemd knows; what it only warns of is a failure, too."""
    units = sorted(path.name for path in (root / "etc/systemd/system").iterdir())
    others = [f"zotpy-{name}.{kind}" for name in ("gc", "sync") for kind in ("service", "timer")]
    assert units == [*others, "zotpy.target", "zotpy@5001.service"]
    for name in units:
        verified = analyze("verify", "--man=no", root / "etc/systemd/system" / name)
        # Units of this machine that others depend on may have faults of their own.
        assert [line for line in verified.stderr.splitlines() if "zotpy" in line] == []
        assert verified.returncode == 0, verified.stderr


def test_mistake_in_a_unit_is_found(root: Path) -> None:
    """The test above would see a name that systemd does not know."""
    unit = root / "etc/systemd/system/zotpy@5001.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSeconds="))
    assert "WatchDogSeconds" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.parametrize("name", ["zotpy@5001.service", "zotpy-gc.service", "zotpy-sync.service"])
def test_services_are_hardened(root: Path, name: str) -> None:
    """`systemd-analyze security` counts an exposure below 1.5 of 10, where a service without any hardening has 9.6."""
    judged = ("security", "--offline=true", f"--threshold={MOST_EXPOSED}")
    unit = root / "etc/systemd/system" / name
    hardened = analyze(*judged, unit)
    assert hardened.returncode == 0, hardened.stdout

    unit.write_text(unit.read_text().partition("DynamicUser=yes")[0])
    assert analyze(*judged, unit).returncode != 0


def test_all_services_are_hardened_alike() -> None:
    """The collector and `zotpy sync` run with exactly the restrictions that replicas have."""
    alike = [
        (UNITS / name).read_text().partition("DynamicUser=")[2].partition("[Install]")[0].strip()
        for name in ("zotpy@.service", "zotpy-gc.service", "zotpy-sync.service")
    ]
    assert alike[0] == alike[1] == alike[2] != ""


def test_systemd_waits_for_the_end_of_draining() -> None:
    """With the settings as they come, a replica that drains for as long as it may is not killed by systemd."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment] # names as they are written
    unit.read(UNITS / "zotpy@.service")
    http = load_settings(None).http
    assert int(unit["Service"]["TimeoutStopSec"]) > http.drain_notice_s + http.drain_timeout_s
