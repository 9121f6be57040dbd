"""Prometheus's own tool reads the alert rules, and says which of them fire for the series of `rules_test.yaml`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.peers.issuers import find_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES, TESTS = FOLDER / "rules.yaml", FOLDER / "rules_test.yaml"


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool, and return what it says."""
    command: Sequence[str | Path] = [find_peer("promtool"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_rules_are_sound() -> None:
    """Expressions, times and templates are what Prometheus understands."""
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should() -> None:
    """With the labels and texts that an operator gets, and for no other series."""
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_not_to_fire() -> None:
    """So a limit that is out of reach, or that everything reaches, fails the test before."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    tested = [each for test in yaml.safe_load(TESTS.read_text())["tests"] for each in test["alert_rule_test"]]
    assert {each["alertname"] for each in tested if each["exp_alerts"]} == names
    assert {each["alertname"] for each in tested if not each["exp_alerts"]} == names


def test_other_limits_would_be_noticed(tmp_path: Path) -> None:
    """The series without trouble are just below the limits."""
    changes = {
        "ZotpyReplicaDown": ("== 0", "== 1"),
        "ZotpyServerErrors": ("> 0.01", "> 0.008"),
        "ZotpyMemoryShort": ("for: 10m", "for: 5m"),
        "ZotpyGarbageStays": ("43200", "42000"),
        "ZotpyDiskNearlyFull": ("< 3 *", "< 4 *"),
    }
    text = RULES.read_text()
    for limit, other in changes.values():
        assert limit in text
        text = text.replace(limit, other)
    (tmp_path / RULES.name).write_text(text)
    (tmp_path / TESTS.name).write_bytes(TESTS.read_bytes())
    done = promtool("test", "rules", tmp_path / TESTS.name)
    assert done.returncode == 1
    assert set(re.findall(r"alertname: (\w+), time", done.stdout + done.stderr)) >= changes.keys()
