"""Real clients log in with a password of a directory, and with a client certificate."""

from __future__ import annotations

import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_logins import KINDS, USER, LoggingIn, address, says_so
from tests.slapd import DEVELOPERS, PASSWORD, certify, directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

ALL = ["read", "create", "update", "delete"]


@pytest.fixture(scope="module")
def developers(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica whose users are those of a directory, and that a group of it may use."""
    home = tmp_path_factory.mktemp("directory")
    with directory(home / "slapd") as running:
        replica = Replica(0, bucket, "logins/directory", home)
        rules = {"repositories": {"**": {"policies": [{"groups": [DEVELOPERS], "actions": ALL}]}}}
        replica.configure({"http": {"auth": {"ldap": running.settings()}, "accessControl": rules}})
        replica.process.start(lambda: is_ready(replica.url))
        try:
            yield replica
        finally:
            replica.process.stop()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_user_of_a_directory_logs_in_pushes_and_pulls(
    developers: Replica, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The rules count the groups that the directory names. A wrong password is refused at the login, or at the push."""
    user = kind(tmp_path / "user", address(developers))
    refusal = user.client.tried(*user.words("wrong"))
    assert says_so(refusal or user.client.refused(*user.push(small.path, repository)))
    user.client(*user.words(PASSWORD))
    user.client(*user.push(small.path, repository))
    user.client(*user.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    log = developers.process.log_tail(0)
    assert f'"user": "{USER}", "login": "ldap"' in log
    assert PASSWORD not in log


class Certified:
    """A replica that speaks TLS, and the certificates of its site."""

    def __init__(self, bucket: Bucket, home: Path) -> None:
        """Make all certificates with openssl."""
        self.home = home
        certify(home, "server", "subjectAltName=IP:127.0.0.1")
        certify(home, USER)
        self.replica = Replica(0, bucket, "logins/certificates", home)
        tls = {"cert": home / "server.crt", "key": home / "server.key", "cacert": home / "ca.crt"}
        rules = {"repositories": {"**": {"policies": [{"users": [USER], "actions": ALL}]}}}
        paths = {name: str(file) for name, file in tls.items()}
        self.replica.configure({"http": {"tls": paths, "accessControl": rules}})
        self.address = address(self.replica)

    @property
    def context(self) -> ssl.SSLContext:
        """A client's side of TLS, without a certificate."""
        return ssl.create_default_context(cafile=self.home / "ca.crt")

    def folder(self, to: Path, *, with_client: bool) -> Path:
        """Make a directory as docker, podman and skopeo read it."""
        to.mkdir()
        shutil.copy(self.home / "ca.crt", to / "ca.crt")
        if with_client:
            shutil.copy(self.home / f"{USER}.crt", to / "client.cert")
            shutil.copy(self.home / f"{USER}.key", to / "client.key")
        return to


@pytest.fixture(scope="module")
def certified(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    """Return a replica that knows its users by their certificates alone."""
    made = Certified(bucket, tmp_path_factory.mktemp("certified"))
    made.replica.process.start(lambda: is_ready(f"https://{made.address}", made.context))
    try:
        yield made
    finally:
        made.replica.process.stop()


def test_skopeo_shows_its_certificate(certified: Certified, small: Layout, repository: str, tmp_path: Path) -> None:
    """The certificate is its only login: it asks for no token. Without a certificate it may do nothing."""
    skopeo = Client("skopeo", isolated_environment(tmp_path / "home"))
    image, remote = f"oci:{small.path}:image", f"docker://{certified.address}/{repository}:v1"
    stranger = certified.folder(tmp_path / "stranger", with_client=False)
    user = certified.folder(tmp_path / "user", with_client=True)
    assert says_so(skopeo.refused("copy", "--dest-cert-dir", stranger, image, remote))
    skopeo("copy", "--dest-cert-dir", user, image, remote)
    skopeo("copy", "--src-cert-dir", user, remote, f"oci:{tmp_path / 'pulled'}:image")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    assert says_so(skopeo.refused("copy", "--src-cert-dir", stranger, remote, f"oci:{tmp_path / 'stolen'}:image"))
    assert f'"user": "{USER}", "login": "mtls"' in certified.replica.process.log_tail(0)


def test_podman_shows_its_certificate(
    certified: Certified, small: Layout, repository: str, tmp_path: Path, storage_options: list[str | Path]
) -> None:
    """The client pushes and pulls with its certificate alone, as skopeo does."""
    podman = Client("podman", isolated_environment(tmp_path / "home"), storage_options)
    stranger = certified.folder(tmp_path / "stranger", with_client=False)
    user = certified.folder(tmp_path / "user", with_client=True)
    image, remote = podman("pull", f"oci:{small.path}:image").splitlines()[-1], f"{certified.address}/{repository}:v1"
    assert says_so(podman.refused("push", "--cert-dir", stranger, image, remote))
    podman("push", "--cert-dir", user, image, remote)
    podman("image", "rm", "--all", "--force")
    assert podman("pull", "--cert-dir", user, remote).splitlines()[-1] == image


def test_oras_shows_its_certificate(certified: Certified, repository: str, tmp_path: Path) -> None:
    """The client pushes and pulls a file with its certificate alone."""
    oras = Client("oras", isolated_environment(tmp_path / "home"))
    remote, authorities = f"{certified.address}/{repository}:v1", ("--ca-file", certified.home / "ca.crt")
    user = ("--cert-file", certified.home / f"{USER}.crt", "--key-file", certified.home / f"{USER}.key")
    (tmp_path / "file.txt").write_text("content")
    assert says_so(oras.refused("push", *authorities, remote, "--disable-path-validation", tmp_path / "file.txt"))
    oras("push", *authorities, *user, remote, "file.txt", cwd=tmp_path)
    oras("pull", *authorities, *user, remote, "-o", tmp_path / "pulled")
    assert (tmp_path / "pulled" / "file.txt").read_text() == "content"


def test_regctl_shows_its_certificate(certified: Certified, small: Layout, repository: str, tmp_path: Path) -> None:
    """The client pushes and pulls with its certificate alone."""
    regctl = Client("regctl", isolated_environment(tmp_path / "home"))
    remote, home = f"{certified.address}/{repository}:v1", certified.home
    regctl.tried("registry", "set", certified.address, "--cacert", (home / "ca.crt").read_text())
    assert says_so(regctl.refused("image", "copy", f"ocidir://{small.path}:image", remote))
    user = ("--client-cert", (home / f"{USER}.crt").read_text(), "--client-key", (home / f"{USER}.key").read_text())
    regctl("registry", "set", certified.address, *user)
    regctl("image", "copy", f"ocidir://{small.path}:image", remote)
    regctl("image", "copy", remote, f"ocidir://{tmp_path / 'pulled'}:image")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
