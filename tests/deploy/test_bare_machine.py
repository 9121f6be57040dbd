"""The README's two commands on a Debian that has Python and nothing else set up: the platform that it promises."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import http_client, push_blob
from tests.deploy.bare import CHECKOUT, INSIDE, NO_NOTICE, RUNS, BareRoot, is_ready
from tests.processes import descendants, free_port, has_ended, wait_until
from tests.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSTALL_DEADLINE_S = 900.0
SOME_TESTS = (
    "tests/unit/core/test_names.py",
    "tests/unit/test_layers.py",
    "tests/blackbox/test_releases.py::test_a_client_meets_both_releases_within_one_push[before least]",
)
"""Of the fast ones, and of those with real servers and clients; `ZOTPY_TEST_BARE=all` runs every test there."""

pytestmark = pytest.mark.timeout(2 * INSTALL_DEADLINE_S if os.environ.get(RUNS) != "all" else 3 * 3600)


@pytest.fixture(scope="module")
def machine() -> Iterator[BareRoot]:
    """Return a bare machine."""
    with scratch("bare") as directory:
        yield BareRoot(directory)


def test_readme_begins_with_the_two_commands() -> None:
    """The commands that the tests below run are the ones that a newcomer reads first."""
    commands = re.findall(r"^    (sh .*)$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["sh deploy/try", "sh tests/run"]


def test_one_command_runs_a_registry(machine: BareRoot, tmp_path: Path) -> None:
    """`sh deploy/try` installs all that it needs and serves; what is pushed is there after a restart."""
    port = free_port()
    command = ("env", NO_NOTICE, "sh", "deploy/try", "--port", str(port))
    trial = machine.process(*command, log_path=tmp_path / "try.log")
    url = f"http://127.0.0.1:{port}"

    try:
        trial.start(partial(is_ready, url), INSTALL_DEADLINE_S)
        with http_client(url) as client:
            digest = push_blob(client, "team/app", b"from a bare machine")
        started = descendants(trial.pid)
        trial.stop()
        wait_until(lambda: all(map(has_ended, started)), "all that it started has ended")
        trial.start(partial(is_ready, url), INSTALL_DEADLINE_S)
        with http_client(url) as client:
            assert client.get(f"/v2/team/app/blobs/{digest}").content == b"from a bare machine"
    finally:
        trial.stop()


def test_the_other_command_runs_the_tests(machine: BareRoot, tmp_path: Path) -> None:
    """`sh tests/run` installs what the tests need there, and they pass on the Python of that Debian."""
    arguments = () if os.environ.get(RUNS) == "all" else SOME_TESTS
    run = machine.process("sh", "tests/run", *arguments, log_path=tmp_path / "run.log")
    run.start(lambda: True)
    try:
        code = run.ended(2 * 3600)
    finally:
        run.kill()
    assert code == 0, run.log_tail()
    [summary] = re.findall(r"^=+ (.*\d+ passed.*) =+$", run.log_tail(), re.MULTILINE)
    assert arguments == () or "skipped" not in summary, run.log_tail()
    version = (machine.path / INSIDE / ".venv/pyvenv.cfg").read_text()
    assert "version = 3.11.2" in version
