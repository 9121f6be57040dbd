"""The container image: built twice of Debian's packages and our lock file, pushed into zotpy, pulled back, run."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.clients import Client
from tests.processes import Process, descendants, find_program, free_port, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zotpy" / "images"
BASE, NAME = "localhost/debian-base", "localhost/zotpy"
INSECURE = "--tls-verify=false"
BUILD_DEADLINE_S = 900
CERTIFICATES = Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def base() -> Path:
    """Return a base image as an archive; made once, and kept outside the checkout."""
    if os.geteuid() != 0:
        missing("root is needed to unpack Debian's packages: sudo sh tests/run")
    script = CONTAINER / "debian-base"
    archive = CACHE / f"debian-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}.tar"
    if not archive.exists():
        find_program("debootstrap", "apt-get install debootstrap")
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(f".{os.getpid()}")
        subprocess.run(["sh", script, unfinished], check=True, timeout=BUILD_DEADLINE_S)
        unfinished.replace(archive)
    return archive


@pytest.fixture(scope="module")
def environment(client_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Return the environment of programs with an image store of their own, which need no container runtime."""
    with tempfile.TemporaryDirectory(prefix="zotpy", ignore_cleanup_errors=True) as directory:
        settings = Path(directory) / "storage.conf"
        lines = ('driver = "overlay"', f'graphroot = "{directory}/storage"', f'runroot = "{directory}/run"')
        settings.write_text("\n".join(["[storage]", *lines, ""]))
        yield client_environment | {"CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}
        unmount = [shutil.which("umount"), Path(directory) / "storage" / "overlay"]
        subprocess.run([word for word in unmount if word], check=False, capture_output=True)


@pytest.fixture(scope="module")
def buildah(environment: dict[str, str]) -> Client:
    """Return buildah on that store."""
    return Client("buildah", environment)


@pytest.fixture(scope="module")
def ids(
    base: Path, environment: dict[str, str], buildah: Client, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Build the image twice, from nothing each time, and return the ids."""
    Client("podman", environment)("import", "--quiet", base, BASE)
    directory = tmp_path_factory.mktemp("pip")
    (directory / "pip.conf").write_text("[global]\ncert = /etc/pip-ca.pem\n")
    secrets = ["--secret", f"id=pip,src={directory}/pip.conf", "--secret", f"id=ca,src={CERTIFICATES}"]
    found = []
    for _ in range(2):
        command: list[str | Path] = ["sh", CONTAINER / "build", BASE, NAME, "--no-cache", *secrets]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_DEADLINE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", NAME))
    return found


def test_two_builds_of_one_commit_are_one_image(ids: list[str]) -> None:
    """Byte for byte: whoever builds the commit can check what others built."""
    assert ids[0] == ids[1] != ""


def test_the_image_is_small_and_runs_as_nobody_special(ids: list[str], buildah: Client) -> None:
    """A number, so that Kubernetes can see that it is not root's; no tool of a build is left."""
    assert ids
    user = buildah("inspect", "--type", "image", "--format", "{{.OCIv1.Config.User}}", NAME)
    assert user == "65532:65532"
    container = buildah("from", "--pull-never", NAME)
    listed = buildah("run", container, "--", "find", "/opt/zotpy/bin", "-executable", "-type", "f")
    assert {Path(line).name for line in listed.splitlines()} >= {"zotpy", "weed"}
    assert not {"pip", "hatchling"} & {Path(line).name for line in listed.splitlines()}
    buildah("rm", container)


def test_the_image_comes_back_from_zotpy_and_serves(
    ids: list[str], buildah: Client, environment: dict[str, str], registry: str, repository: str, tmp_path: Path
) -> None:
    """Pushed, removed and pulled it is the same image; with nothing to configure it serves, and ends when asked to."""
    reference = f"{registry}/{repository}:v1"
    buildah("push", INSECURE, NAME, reference)
    buildah("rmi", "--all", "--force")
    container = buildah("from", INSECURE, reference)
    assert buildah("inspect", "--format", "{{.FromImageID}}", container) == ids[0]
    port = free_port()
    command = ["buildah", "run", container, "--", "zotpy", "serve", "--port", str(port)]
    process = Process("zotpy in a container", command, tmp_path / "container.log", environment)
    process.start(lambda: is_ready(port))
    [*_, served] = [pid for pid in descendants(process.pid) if command_of(pid).endswith(f"--port\0{port}\0")]
    assert owner_of(served) == 65532
    os.kill(served, signal.SIGTERM)
    assert process.ended() == 0, process.log_tail()
    assert not is_ready(port)
    buildah("rm", container)


def is_ready(port: int) -> bool:
    """Whether a replica there would take requests."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def command_of(pid: int) -> str:
    """Return the command line of a process, its words ended by NUL."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def owner_of(pid: int) -> int:
    """Return the user id of a process."""
    return Path(f"/proc/{pid}").stat().st_uid
