"""The conformance suite of the OCI distribution specification, with everything on that it leaves off by default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.blackbox.clients import Client

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY_OPTION = {
    "OCI_API_BLOBS_ATOMIC": "true",
    "OCI_API_BLOBS_DELETE": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_ATOMIC": "true",
    "OCI_API_MANIFESTS_DELETE": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_API_TAGS_ATOMIC": "true",
    "OCI_API_TAGS_DELETE": "true",
    "OCI_API_TAGS_LIST": "true",
    "OCI_API_REFERRER": "true",
    "OCI_DATA_SHA512": "true",
}
LEAST_TESTS = 986


@dataclass(frozen=True)
class Outcome:
    """What the suite says that it did."""

    tests: int
    not_passed: list[str]


@pytest.mark.parametrize("version", ["dev", "1.1"])
def test_every_test_of_the_suite_passes(
    client_environment: Mapping[str, str], registry: str, repository: str, version: str
) -> None:
    """No test of the suite fails, none is skipped, and none is disabled."""
    results = reports_directory() / f"conformance-{version}"
    results.mkdir(parents=True, exist_ok=True)
    environment = {
        **client_environment,
        **EVERY_OPTION,
        "OCI_VERSION": version,
        "OCI_REGISTRY": registry,
        "OCI_TLS": "disabled",
        "OCI_REPO1": f"{repository}/first",
        "OCI_REPO2": f"{repository}/second",
        "OCI_RESULTS_DIR": str(results),
    }
    (results / "junit.xml").unlink(missing_ok=True)
    printed = Client("conformance", environment).printed(cwd=results)
    outcome = read_outcome(results / "junit.xml")
    assert outcome.not_passed == [], printed
    assert outcome.tests >= LEAST_TESTS


def reports_directory() -> Path:
    """Return where reports are kept: `ZOTPY_REPORTS`, or `reports` at the root of the repository."""
    return Path(os.environ.get("ZOTPY_REPORTS") or Path(__file__).parents[2] / "reports").absolute()


def read_outcome(junit: Path) -> Outcome:
    """Read the suite's own report: its exit status says nothing of what it skipped."""
    suites = ET.parse(junit).getroot()  # noqa: S314 - the suite wrote it on this machine
    not_passed = [
        f"{case.get('name')}: {case.get('status')}: {case.findtext('system-out')}"
        for case in suites.iter("testcase")
        if case.get("status") != "passed"
    ]
    counts = {status: int(suites.get(status, "0")) for status in ("errors", "failures", "skipped", "disabled")}
    not_passed += [f"{count} {status} in all" for status, count in counts.items() if count > 0]
    return Outcome(int(suites.get("tests", "0")), not_passed)
