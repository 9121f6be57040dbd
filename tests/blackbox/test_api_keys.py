"""Real clients push and pull with an API key as the password, at two replicas that share a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bcrypt
import httpx
import pytest

from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.images import stored_blobs
from tests.blackbox.test_audit import entries
from tests.blackbox.test_logins import PASSWORD, USER, Crane, LoggingIn, Oras, address, says_so
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.images import Layout
    from tests.servers import Bucket

EVERYTHING = {"**": {"policies": [{"users": [USER], "actions": ["read", "create", "update", "delete"]}]}}


@pytest.fixture(scope="module")
def replicas(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Return two replicas with one user and API keys."""
    directory = tmp_path_factory.mktemp("keys")
    users = directory / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}\n")
    made = [Replica(index, bucket, "api-keys", directory) for index in range(2)]
    try:
        for index, replica in enumerate(made):
            auth = {"htpasswd": {"path": str(users)}, "apikey": True}
            replica.configure(
                {
                    "http": {"auth": auth, "accessControl": {"repositories": EVERYTHING}},
                    "log": {"audit": str(directory / f"audit{index}.log")},
                }
            )
            replica.process.start(lambda url=replica.url: is_ready(url))  # type: ignore[misc]  # the url of this one
        yield made
    finally:
        for replica in made:
            replica.process.stop()


def make(replica: Replica, *scopes: str) -> dict[str, Any]:
    """Let the user make a key."""
    asked = {"label": "ci", "scopes": list(scopes)}
    answer = httpx.post(f"{replica.url}/zot/auth/apikey", json=asked, auth=(USER, PASSWORD), timeout=60)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def last_used(replica: Replica, uuid: str) -> str:
    """Return when a key of the user was last used, as the list says it."""
    listed = httpx.get(f"{replica.url}/zot/auth/apikey", auth=(USER, PASSWORD), timeout=60).json()["apiKeys"]
    return next(str(each["lastUsed"]) for each in listed if each["uuid"] == uuid)


@pytest.mark.parametrize("kind", [Crane, Oras], ids=lambda kind: kind.name)
def test_a_client_pushes_and_pulls_with_a_key(
    replicas: list[Replica], small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """It is good at the other replica, only for the repositories of its scopes, and not after it was revoked."""
    one, other = replicas
    key = make(one, f"repository:{repository}:pull,push")
    pushing, pulling = kind(tmp_path / "one", address(one)), kind(tmp_path / "other", address(other))
    for client in (pushing, pulling):
        client.client(*client.words(key["apiKey"]))
    pushing.client(*pushing.push(small.path, repository))
    pulling.client(*pulling.pull(repository, tmp_path / "pulled"))
    wait_until(lambda: last_used(one, key["uuid"]) >= key["createdAt"], "the list says that the key was used")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    refusal = pushing.client.refused(*pushing.push(small.path, f"{repository}/elsewhere")).lower()
    assert "denied" in refusal or "unauthorized" in refusal or "403" in refusal

    revoked = make(one)
    stranger = kind(tmp_path / "stranger", address(other))
    gone = httpx.delete(f"{one.url}/zot/auth/apikey", params={"id": revoked["uuid"]}, auth=(USER, PASSWORD), timeout=60)
    assert gone.status_code == httpx.codes.OK
    stranger.client.tried(*stranger.words(revoked["apiKey"]))
    assert says_so(stranger.client.refused(*stranger.push(small.path, repository)))

    audit = one.settings.parent / "audit0.log"
    wait_until(lambda: any(entry["key"] == key["uuid"] for entry in entries(audit)), "the audit log names the key")
    for text in (audit.read_text(), one.process.log_tail(0), other.process.log_tail(0)):
        assert key["apiKey"] not in text
