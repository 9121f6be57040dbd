"""SIGHUP and the rules of access, on real processes: the new ones hold at once, for each worker and later ones."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest

from tests.blackbox.test_reload import Reloaded, running
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

ALICE = ("alice", "correct horse")
READABLE, CLOSED, ANONYMOUS = 404, 403, 401
"""Statuses of a repository that does not exist: for a caller who may read it, who may not, and who must log in."""


class Guarded(Reloaded):
    """A registry with one user."""

    def allow(self, *actions: str) -> None:
        """Write a file whose rules give the user these actions."""
        users = self.directory / "htpasswd"
        users.write_bytes(b"alice:" + bcrypt.hashpw(ALICE[1].encode(), bcrypt.gensalt(4)))
        rules = {"repositories": {"**": {"policies": [{"users": ["alice"], "actions": list(actions)}]}}}
        self.settings["http"] |= {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": rules}
        self.write("info")

    def statuses(self, auth: tuple[str, str] | None = ALICE) -> set[int]:
        """Ask on several connections, whichever worker gets them."""
        url = f"https://127.0.0.1:{self.port}/v2/team/app/tags/list"
        return {httpx.get(url, auth=auth, verify=False, timeout=60).status_code for _ in range(8)}  # noqa: S501 - a certificate of the test


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def guarded(request: pytest.FixtureRequest, bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Guarded]:
    """Return a registry that runs, alone or with workers, and whose user may read."""
    made = Guarded(bucket, prefix, tmp_path, request.param)
    made.allow("read")
    with running(made):
        yield made


def test_new_rules_hold_after_sighup(guarded: Guarded) -> None:
    """No process ends. A worker that is started later has the new rules, and a file with a mistake keeps them."""
    assert guarded.statuses() == {READABLE}
    assert guarded.statuses(None) == {ANONYMOUS}
    guarded.allow("create")
    os.kill(guarded.process.pid, signal.SIGHUP)
    wait_until(lambda: guarded.statuses() == {CLOSED}, "the new rules hold")
    assert all("needs_restart" not in event for event in guarded.events("reloaded"))
    assert guarded.statuses(None) == {ANONYMOUS}

    guarded.settings["http"]["accessControl"]["repositories"] = {"a/*": {}, "*/b": {}}
    guarded.file.write_text(json.dumps(guarded.settings))
    os.kill(guarded.process.pid, signal.SIGHUP)
    wait_until(lambda: bool(guarded.events("reload_refused")), "the mistake is said")
    assert guarded.statuses() == {CLOSED}

    if guarded.workers > 1:
        killed = guarded.pids()[1]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: guarded.pids()[1] != killed, "the worker was replaced")
        assert guarded.statuses() == {CLOSED}


def test_rules_are_not_lost_with_the_login(guarded: Guarded) -> None:
    """A file without both needs a restart. Until then the user has no more than before."""
    del guarded.settings["http"]["auth"], guarded.settings["http"]["accessControl"]
    guarded.write("info")
    os.kill(guarded.process.pid, signal.SIGHUP)
    wait_until(lambda: bool(guarded.events("reloaded")), "it has reloaded")
    assert guarded.events("reloaded")[-1]["needs_restart"] == ["http", "auth"]
    assert guarded.statuses() == {READABLE}
    assert guarded.statuses(None) == {ANONYMOUS}


def test_new_rules_for_anonymous_callers_hold_without_a_login(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """As in zot, rules for anonymous callers alone need no login, and are read again. A login needs a restart."""
    made = Guarded(bucket, prefix, tmp_path, 1)

    def grant(*actions: str) -> None:
        made.settings["http"]["accessControl"] = {"repositories": {"**": {"anonymousPolicy": list(actions)}}}
        made.write("info")

    grant("read")
    with running(made):
        assert made.statuses(None) == made.statuses() == {READABLE}
        grant("create")
        os.kill(made.process.pid, signal.SIGHUP)
        wait_until(lambda: made.statuses(None) == {CLOSED}, "the new rules hold")
        assert all("needs_restart" not in event for event in made.events("reloaded"))
        made.allow("read")
        os.kill(made.process.pid, signal.SIGHUP)
        wait_until(lambda: len(made.events("reloaded")) > 1, "it has reloaded again")
        assert made.events("reloaded")[-1]["needs_restart"] == ["http", "auth"]
        assert made.statuses(None) == made.statuses() == {CLOSED}
