"""The audit log of a real registry, alone and with workers: what clients did, and what logrotate does with the file."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.test_logins import PASSWORD, POLICIES, USER, Crane, address
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.images import Layout
    from tests.servers import Bucket


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def audited(request: pytest.FixtureRequest, bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Replica]:
    """Return a registry with one user, rules and an audit log."""
    users = tmp_path / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}\n")
    replica = Replica(0, bucket, prefix, tmp_path)
    http = {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": {"repositories": POLICIES}}
    replica.configure({"http": {**http, "workers": request.param}, "log": {"audit": str(tmp_path / "audit.log")}})
    with replica.running():
        yield replica


def entries(file: Path) -> list[dict[str, Any]]:
    """Read all lines of a file, each of which must be whole. One that is just being written is left out."""
    whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def test_what_a_client_does_is_in_the_audit_log(
    audited: Replica, small: Layout, repository: str, tmp_path: Path
) -> None:
    """A client logs in badly and well, pushes, pulls and may not delete. A moved file gets no later lines."""
    file, moved = tmp_path / "audit.log", tmp_path / "audit.log.1"
    guess = Crane(tmp_path / "guess", address(audited))
    guess.client(*guess.words("wrong"))
    guess.client.refused(*guess.push(small.path, repository))
    user = Crane(tmp_path / "user", address(audited))
    user.client(*user.words(PASSWORD))
    user.client(*user.push(small.path, repository))
    user.client(*user.pull(repository, tmp_path / "pulled"))
    wait_until(lambda: any(entry["method"] == "PUT" and entry["tag"] for entry in entries(file)), "the push is noted")
    found = entries(file)
    (pushed,) = [entry for entry in found if entry["tag"] == "v1" and entry["decision"] == "allowed"]
    assert pushed["user"] == USER
    assert pushed["rule"] == "http.accessControl.repositories[**].policies[0]"
    assert (pushed["status"], pushed["client"], pushed["repository"]) == (201, "127.0.0.1", repository)
    assert pushed["digest"].startswith("sha256:")
    bad = [entry for entry in found if entry["event"] == "login" and entry["decision"] == "refused"]
    assert bad
    assert {(entry["user"], entry["status"]) for entry in bad} == {("", 401)}
    assert [entry for entry in found if entry["event"] == "login" and entry["user"] == USER]
    assert not [entry for entry in found if entry["action"] == "read" and entry["decision"] == "allowed"]
    assert PASSWORD not in file.read_text()

    file.rename(moved)
    os.kill(audited.process.pid, signal.SIGHUP)
    wait_until(file.exists, "the file is opened again")
    before = moved.read_bytes()
    user.client.refused("delete", f"{address(audited)}/{repository}:v1")

    def has_refusal() -> bool:
        lines = [*entries(file), *(json.loads(line) for line in moved.read_bytes()[len(before) :].splitlines())]
        return any(entry["action"] == "delete" and entry["status"] == 403 for entry in lines)

    wait_until(has_refusal, "the refusal is noted")
