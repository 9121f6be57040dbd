"""Real clients log in with a name and a password, push and pull, and what they do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.cluster import Replica
from tests.blackbox.images import Layout, stored_blobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.servers import Bucket

USER, PASSWORD = "alice", "correct-horse"
REFUSALS = ("unauthorized", "authentication required", "invalid username/password", "401", "credential")
POLICIES = {
    "**": {"policies": [{"users": [USER], "actions": ["read", "create", "update"]}], "anonymousPolicy": ["read"]}
}


class LoggingIn:
    """One kind of client, with a home of its own."""

    name = ""
    layouts = "oci:{}:image"

    def __init__(self, home: Path, registry: str) -> None:
        self.client = Client(self.name, isolated_environment(home))
        self.registry = registry

    def words(self, password: str) -> tuple[str, ...]:
        """Return the arguments that log in."""
        return ("login", "--tls-verify=false", "-u", USER, "-p", password, self.registry)

    def push(self, image: Path, repository: str) -> tuple[str, ...]:
        """Return the arguments that push a layout."""
        return ("copy", "--dest-tls-verify=false", f"oci:{image}:image", f"docker://{self.registry}/{repository}:v1")

    def pull(self, repository: str, to: Path) -> tuple[str, ...]:
        """Return the arguments that pull into a layout."""
        return ("copy", "--src-tls-verify=false", f"docker://{self.registry}/{repository}:v1", f"oci:{to}:image")


class Skopeo(LoggingIn):
    """skopeo, whose library podman and buildah share."""

    name = "skopeo"


class Crane(LoggingIn):
    """crane: `auth login` asks nobody, so a wrong password is seen at the push."""

    name = "crane"

    def words(self, password: str) -> tuple[str, ...]:
        """Return the arguments that log in."""
        return ("auth", "login", "-u", USER, "-p", password, self.registry)

    def push(self, image: Path, repository: str) -> tuple[str, ...]:
        """Return the arguments that push a layout."""
        return ("push", str(image), f"{self.registry}/{repository}:v1")

    def pull(self, repository: str, to: Path) -> tuple[str, ...]:
        """Return the arguments that pull into a layout."""
        return ("pull", "--format", "oci", f"{self.registry}/{repository}:v1", str(to))


class Oras(LoggingIn):
    """oras."""

    name = "oras"

    def words(self, password: str) -> tuple[str, ...]:
        """Return the arguments that log in."""
        return ("login", "--plain-http", "-u", USER, "-p", password, self.registry)

    def push(self, image: Path, repository: str) -> tuple[str, ...]:
        """Return the arguments that push a layout."""
        return ("cp", "--to-plain-http", "--from-oci-layout", f"{image}:image", f"{self.registry}/{repository}:v1")

    def pull(self, repository: str, to: Path) -> tuple[str, ...]:
        """Return the arguments that pull into a layout."""
        return ("cp", "--from-plain-http", "--to-oci-layout", f"{self.registry}/{repository}:v1", f"{to}:image")


class Regctl(LoggingIn):
    """regctl."""

    name = "regctl"

    def set_plain(self) -> None:
        """Tell the client that the registry speaks plain HTTP. It also tries the registry, which may refuse it."""
        self.client.tried("registry", "set", self.registry, "--tls", "disabled")

    def words(self, password: str) -> tuple[str, ...]:
        """Return the arguments that log in."""
        self.set_plain()
        return ("registry", "login", "-u", USER, "-p", password, self.registry)

    def push(self, image: Path, repository: str) -> tuple[str, ...]:
        """Return the arguments that push a layout."""
        self.set_plain()
        return ("image", "copy", f"ocidir://{image}:image", f"{self.registry}/{repository}:v1")

    def pull(self, repository: str, to: Path) -> tuple[str, ...]:
        """Return the arguments that pull into a layout."""
        self.set_plain()
        return ("image", "copy", f"{self.registry}/{repository}:v1", f"ocidir://{to}:image")


KINDS = (Crane, Oras, Regctl, Skopeo)


def serving(bucket: Bucket, directory: Path, http: Mapping[str, object]) -> Iterator[Replica]:
    """Run a replica with a file of one user, and these settings besides."""
    users = directory / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}\n")
    replica = Replica(0, bucket, f"logins/{directory.name}", directory)
    replica.configure({"http": {"auth": {"htpasswd": {"path": str(users)}}, **http}})
    with replica.running():
        yield replica


@pytest.fixture(scope="module")
def closed(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica whose users may do everything, and nobody else anything."""
    yield from serving(bucket, tmp_path_factory.mktemp("closed"), {})


@pytest.fixture(scope="module")
def mixed(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica that everybody may read, and whose one user may push."""
    yield from serving(bucket, tmp_path_factory.mktemp("mixed"), {"accessControl": {"repositories": POLICIES}})


def address(replica: Replica) -> str:
    """Return the host and port that clients are given."""
    return replica.url.removeprefix("http://")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_client_logs_in_pushes_and_pulls(
    closed: Replica, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """Without a login it may do nothing, with one everything. The log has the user, and no password."""
    stranger = kind(tmp_path / "stranger", address(closed))
    assert says_so(stranger.client.refused(*stranger.push(small.path, repository)))
    user = kind(tmp_path / "user", address(closed))
    user.client(*user.words(PASSWORD))
    user.client(*user.push(small.path, repository))
    user.client(*user.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    assert says_so(stranger.client.refused(*stranger.pull(repository, tmp_path / "stolen")))
    log = closed.process.log_tail(0)
    assert '"user": "alice", "login": "htpasswd"' in log
    assert PASSWORD not in log
    assert "Basic " not in log


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_wrong_password_is_refused(
    closed: Replica, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The client says so at its login, or at the latest at its push."""
    user = kind(tmp_path, address(closed))
    refusal = user.client.tried(*user.words("wrong"))
    assert says_so(refusal or user.client.refused(*user.push(small.path, repository)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_everybody_pulls_what_a_user_has_pushed(
    mixed: Replica, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """Anonymous pulls work beside authenticated pushes, and nobody pushes without a login."""
    user, stranger = (kind(tmp_path / name, address(mixed)) for name in ("user", "stranger"))
    assert says_so(stranger.client.refused(*stranger.push(small.path, repository)))
    user.client(*user.words(PASSWORD))
    user.client(*user.push(small.path, repository))
    stranger.client(*stranger.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)


def test_podman_logs_in_pushes_and_pulls(
    closed: Replica, small: Layout, repository: str, tmp_path: Path, storage_options: list[str | Path]
) -> None:
    """A wrong password is refused at the login, and a stranger's pull by the registry."""
    podman = Client("podman", isolated_environment(tmp_path / "user"), storage_options)
    stranger = Client("podman", isolated_environment(tmp_path / "stranger"), storage_options)
    registry, plain = address(closed), "--tls-verify=false"
    image = podman("pull", f"oci:{small.path}:image").splitlines()[-1]
    assert says_so(podman.refused("login", plain, "-u", USER, "-p", "wrong", registry))
    assert says_so(stranger.refused("push", plain, image, f"{registry}/{repository}:v1"))
    podman("login", plain, "-u", USER, "-p", PASSWORD, registry)
    podman("push", plain, image, f"{registry}/{repository}:v1")
    podman("image", "rm", "--all", "--force")
    assert says_so(stranger.refused("pull", plain, f"{registry}/{repository}:v1"))
    assert podman("pull", plain, f"{registry}/{repository}:v1").splitlines()[-1] == image


def says_so(printed: str) -> bool:
    """Say whether a client tells its user that the login is the problem."""
    return any(word in printed.lower() for word in REFUSALS)
