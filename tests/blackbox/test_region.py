"""A region of its own: a mirror whose primary decides, by each client's own login, what the client may pull."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.images import stored_blobs
from tests.blackbox.test_logins import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.images import Layout
    from tests.servers import Bucket

OWNER = {"users": ["alice"], "actions": ["read", "create", "update"]}
RULES = {
    "team/**": {"policies": [OWNER, {"users": ["region"], "actions": ["read"]}]},
    "public/**": {"policies": [OWNER], "defaultPolicy": ["read"], "anonymousPolicy": ["read"]},
}


@pytest.fixture(scope="module")
def primary(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a registry that knows Alice, Bob, who may read nothing of hers, and the mirror."""
    directory = tmp_path_factory.mktemp("primary")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    users = directory / "htpasswd"
    users.write_text("".join(f"{name}:{hashed}\n" for name in ("alice", "bob", "region")))
    replica = Replica(0, bucket, "primary", directory)
    http = {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": {"repositories": RULES}}
    replica.configure({"http": http})
    with replica.running():
        yield replica


@pytest.fixture(scope="module")
def region(primary: Replica, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return its mirror, over a bucket of its own."""
    directory = tmp_path_factory.mktemp("region")
    logins = directory / "logins.json"
    url = primary.url.replace(
        "127.0.0.1", "localhost"
    )  # crane goes to no token service elsewhere that is an IP address
    logins.write_text(json.dumps({url.removeprefix("http://"): {"username": "region", "password": PASSWORD}}))
    replica = Replica(0, bucket, "region", directory)
    entry = {"urls": [url], "onDemand": True, "passCredentials": True}
    replica.configure({"extensions": {"sync": {"credentialsFile": str(logins), "registries": [entry]}}})
    with replica.running():
        yield replica


def host_of(replica: Replica) -> str:
    """Return host and port."""
    return replica.url.removeprefix("http://")


def crane_of(name: str, home: Path, *registries: Replica) -> Client:
    """Return a crane that has logged in as somebody; an empty name is nobody."""
    home.mkdir(exist_ok=True)
    crane = Client("crane", isolated_environment(home))
    for registry in registries if name else ():
        crane("auth", "login", "-u", name, "-p", PASSWORD, host_of(registry))
    return crane


def test_each_client_pulls_what_the_primary_lets_it_pull(
    primary: Replica, region: Replica, image: Layout, small: Layout, tmp_path: Path
) -> None:
    """Alice fills the mirror. Others get nothing of hers from it, and everybody gets what is public."""
    alice = crane_of("alice", tmp_path / "alice", primary, region)
    others = [crane_of("bob", tmp_path / "bob", region), crane_of("", tmp_path / "nobody")]
    alice("push", image.path, f"{host_of(primary)}/team/app:v1")
    alice("push", small.path, f"{host_of(primary)}/public/app:v1")
    here, public = f"{host_of(region)}/team/app:v1", f"{host_of(region)}/public/app:v1"
    alice("pull", "--format", "oci", here, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)
    for other in others:
        assert other.tried("manifest", here) is not None
        assert other.tried("blob", f"{here.removesuffix(':v1')}@{next(iter(stored_blobs(image.path)))}") is not None
    for number, client in enumerate((*others, alice)):
        client("pull", "--format", "oci", public, tmp_path / f"public{number}")
        assert stored_blobs(tmp_path / f"public{number}") == stored_blobs(small.path)
    assert alice.tried("push", small.path, here) is not None


def test_nothing_is_served_while_the_primary_is_down(
    primary: Replica, region: Replica, small: Layout, tmp_path: Path
) -> None:
    """Nobody can say then who may read what the mirror has. Afterwards all is as before."""
    alice = crane_of("alice", tmp_path / "alice", primary, region)
    alice("push", small.path, f"{host_of(primary)}/team/down:v1")
    here = f"{host_of(region)}/team/down:v1"
    alice("validate", "--remote", here)
    primary.process.stop()
    answer = httpx.get(f"{region.url}/v2/team/down/manifests/v1", auth=("alice", PASSWORD), timeout=60)
    assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    primary.process.start(lambda: is_ready(primary.url))
    alice("validate", "--remote", here)
