"""The image of `deploy/container`: built twice, looked into, run, and pushed into the registry that runs in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.balancer import answers
from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.cluster import replica_settings
from tests.blackbox.registry_api import http_client, push_blob
from tests.deploy.bare import NO_NOTICE
from tests.deploy.images import BUILD_DEADLINE_S, CHECKOUT, CONTAINER, Builder, Root
from tests.processes import Process, descendants, free_port, missing
from tests.scratch import scratch
from tests.unit.test_release import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Bucket

NAME = f"localhost/zotpy:{VERSION}"
COMMIT = "0123456789" * 4
EPOCH = 1_700_000_000
NOBODY = 65532
REPLICA = ["/opt/zotpy/bin/python3", "/opt/zotpy/bin/zotpy", "serve"]
LARGEST_BYTES = 425_000_000  # half of it is SeaweedFS; CEL takes 50 MB, what checks signatures of others 25
# What the image is made of, by .containerignore, and what builds it.
SOURCES = (
    ".containerignore",
    "LICENSE",
    "README.md",
    "hatch_build.py",
    "pyproject.toml",
    "requirements",
    "zotpy",
    "deploy/container",
)

pytestmark = pytest.mark.timeout(3 * BUILD_DEADLINE_S)


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """Return a builder, at a short path."""
    if os.getuid() != 0:
        missing("root is needed to run what is built: sudo sh tests/run tests/deploy/test_image.py")
    with scratch("image") as home, closing(Builder(isolated_environment(home))) as builder:
        yield builder


@pytest.fixture(scope="module")
def image(builder: Builder) -> str:
    """Return the id of the image of this checkout, which the store has as `NAME`."""
    return builder.build(CHECKOUT, "localhost/zotpy", EPOCH, COMMIT)


@pytest.fixture
def container(builder: Builder, image: str) -> Iterator[str]:
    """Return a container of the image in which nothing runs yet."""
    container = builder.buildah("from", "--pull-never", image)
    yield container
    builder.buildah("rm", container)


@pytest.fixture(scope="module")
def root(builder: Builder, image: str) -> Root:
    """Return the files of the image, in which nothing may be written."""
    return Root(Path(builder.buildah("mount", builder.buildah("from", "--pull-never", image))))


def test_another_checkout_gives_the_same_image(builder: Builder, image: str, tmp_path: Path) -> None:
    """Neither where nor when an image is built matters, nor modes and times of files, nor what lies beside them."""
    checkout = tmp_path / "elsewhere"
    for source in SOURCES:
        target = checkout / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / source).is_dir():
            shutil.copytree(CHECKOUT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(CHECKOUT / source, target)
    for path in checkout.rglob("*"):
        path.chmod(0o775 if path.is_dir() else 0o664)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (checkout / "notes.txt").write_text("not for the image\n")
    (checkout / "zotpy" / "__pycache__").mkdir()
    (checkout / "zotpy" / "__pycache__" / "stray.cpython-313.pyc").write_bytes(b"stray")

    again = builder.build(checkout, f"{NAME}-again", EPOCH, COMMIT)
    assert (again, digest(builder, f"{NAME}-again")) == (image, digest(builder, NAME))


def test_image_says_which_release_it_is(builder: Builder, image: str, container: str) -> None:
    """Its tag is the version without being told so; it has version and commit as labels, and its program says them."""
    config = json.loads(builder.buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.revision"] == COMMIT
    assert builder.buildah("run", container, "--", "zotpy", "--version") == f"zotpy {VERSION} (commit {COMMIT})"


def test_time_of_the_image_is_the_one_asked_for(image: str, builder: Builder) -> None:
    """The image names SOURCE_DATE_EPOCH, not the clock, as the time when it was made."""
    inspected = json.loads(builder.buildah("inspect", "--type", "image", image))["OCIv1"]
    assert inspected["created"].startswith("2023-11-14T22:13:20")


def test_image_is_small_and_runs_as_nobody(builder: Builder, image: str) -> None:
    """The user is a number, as `runAsNonRoot` needs it to be, and what built the image is not in it."""
    [listed] = json.loads(builder.buildah("images", "--json", NAME))
    inspected = json.loads(builder.buildah("inspect", "--type", "image", image))
    config = inspected["OCIv1"]["config"]
    assert config["User"] == f"{NOBODY}:{NOBODY}"
    assert config["Entrypoint"] == ["zotpy"]
    assert len(inspected["OCIv1"]["rootfs"]["diff_ids"]) <= 3
    assert "MB" in listed["size"]
    assert float(listed["size"].split()[0]) * 1e6 < LARGEST_BYTES


def test_nothing_of_the_building_machine_is_left(root: Root) -> None:
    """Neither pip nor what it was told is left, nor sources that no module imports.

    Modules are compiled, and used whatever the time of their source.
    """
    packages = root.path / "opt/zotpy/lib/python3.13/site-packages"
    left = {"bazel-project", "pip", "hatchling", "src", "pip.conf", "pip-ca.pem"}
    for folder in (packages, root.path, root.path / "etc", root.path / "run", root.path / "run/secrets"):
        assert not folder.exists() or left.isdisjoint(path.name for path in folder.iterdir())
    sources = sorted((packages / "zotpy").rglob("*.py"))
    assert len(sources) > 50
    for source in sources:
        [compiled] = source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", "by the hash of its source, and unchecked"


def test_only_the_data_belongs_to_the_user(root: Root) -> None:
    """The user can write where data goes and where everybody can, nowhere else."""
    writable = {
        str(path.relative_to(root.path))
        for path in root.path.rglob("*")
        if not path.is_symlink() and (path.stat().st_uid == NOBODY or path.stat().st_mode & 0o002)
    }
    assert writable - {"tmp", "var/tmp", "run/lock"} == {"var/lib/zotpy"}


def test_registry_takes_the_image_that_it_runs_in(builder: Builder, image: str, container: str, tmp_path: Path) -> None:
    """The image serves as it comes; pushed there and pulled back it is the same, and SIGTERM ends it in order."""
    port = free_port()
    serve = ["zotpy", "serve", "--address", "127.0.0.1", "--port", str(port)]
    command = ["buildah", "run", "--env", NO_NOTICE, container, "--", *serve]
    process = Process("container", command, tmp_path / "container.log", builder.environ)
    try:
        process.start(lambda: answers(f"http://127.0.0.1:{port}"))
        name = f"127.0.0.1:{port}/zotpy:latest"
        builder.buildah("push", "--tls-verify=false", "--compression-level=1", NAME, f"docker://{name}")
        pulled = tmp_path / "pulled"
        skopeo = Client("skopeo", builder.environ)
        skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{pulled}")
        assert json.loads((pulled / "manifest.json").read_text())["config"]["digest"] == f"sha256:{image}"

        [replica] = [pid for pid in descendants(process.pid) if words(pid)[:3] == REPLICA]
        assert Path(f"/proc/{replica}").stat().st_uid == NOBODY
        os.kill(replica, signal.SIGTERM)
        assert process.ended(60) == 0
    finally:
        process.stop()


def test_replica_needs_no_file_system_to_write_to(root: Root, bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """On a bucket, with keys in the environment, a replica serves from a read-only file system without any rights."""
    port = free_port()
    settings = replica_settings(port, bucket, prefix, Path("/unused"), {"accesskey": "", "secretkey": ""})
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.yaml").write_text(json.dumps(settings))
    keys = {"AWS_ACCESS_KEY_ID": bucket.access_key, "AWS_SECRET_ACCESS_KEY": bucket.secret_key}
    serve = ("serve", "-c", "/etc/zotpy/config.yaml")
    process = root.process(*serve, config=config, environ=keys, log_path=tmp_path / "zotpy.log")
    try:
        process.start(lambda: answers(f"http://127.0.0.1:{port}"))
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert {line.split()[1] for line in status.splitlines() if line.startswith("Uid:")} == {str(NOBODY)}
        assert "CapBnd:\t0000000000000000" in status
        with http_client(f"http://127.0.0.1:{port}") as client:
            blob = os.urandom(20 << 20)
            pushed = push_blob(client, "a", blob)
            assert client.get(f"/v2/a/blobs/{pushed}").content == blob
    finally:
        process.stop()
    assert process.ended() == 0


@pytest.mark.parametrize("base", ["docker.io/library/python:3.13-slim", "python", "python@sha512:00"])
def test_base_that_may_change_is_refused(base: str) -> None:
    """A base without its digest is no base for an image that two machines would build alike."""
    done = subprocess.run(["sh", CONTAINER / "build", base, NAME], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name it by its digest" in done.stderr


def digest(builder: Builder, name: str) -> str:
    """Return the digest of an image's manifest in the store."""
    return builder.buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name)


def words(pid: int) -> list[str]:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
