"""The image of `deploy/container`, built on a Debian made here, and programs run in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.clients import Client
from tests.processes import Process, find_program, missing
from tests.unit.test_release import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).parents[2]
CONTAINER = CHECKOUT / "deploy" / "container"
BASE = "localhost/debian"
BUILD_DEADLINE_S = 600.0
# What this machine believes servers by: the builds believe them, too.
CERTIFICATES = Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")


class Builder:
    """buildah with an image store of its own; it holds the base from the beginning."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the base into the store."""
        # Neither namespaces nor an OCI runtime: it works inside other containers, too.
        isolated = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": storage_driver(Path(environ["HOME"]))}
        self.environ = {**environ, **isolated}
        pip = Path(environ["HOME"]) / "pip.conf"
        pip.write_text("[global]\ncert = /etc/pip-ca.pem\n")
        self._secrets = ["--secret", f"id=pip,src={pip}", "--secret", f"id=ca,src={CERTIFICATES}"]
        self.buildah = Client("buildah", self.environ)
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, debian_base(), "/")
        self.buildah("commit", "--quiet", "--rm", "--timestamp", "0", container, BASE)

    def close(self) -> None:
        """Take away every container, and what buildah leaves mounted, so that the store can be deleted."""
        self.buildah("umount", "--all")
        self.buildah("rm", "--all")
        layers = Path(self.environ["HOME"]) / "storage" / "overlay"
        if layers.is_mount():
            subprocess.run(["umount", layers], check=True)

    def build(self, checkout: Path, name: str, epoch: int, commit: str) -> str:
        """Build the image of a checkout from nothing but the base and return its id.

        A name without a tag gets the version as its tag.
        """
        environ = {**self.environ, "SOURCE_DATE_EPOCH": str(epoch), "ZOTPY_COMMIT": commit}
        script = checkout / "deploy/container/build"
        command: list[str | Path] = ["sh", script, BASE, name, "--no-cache", *self._secrets]
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        tagged = name if ":" in name.rpartition("/")[2] else f"{name}:{VERSION}"
        return self.buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", tagged)


class Root:
    """The files of an image as they are before it runs."""

    def __init__(self, path: Path) -> None:
        """Take the directory where they are mounted."""
        self.path = path

    def process(self, *arguments: str, config: Path, environ: Mapping[str, str], log_path: Path) -> Process:
        """Return `zotpy` as Kubernetes would run it: nobody, without rights, all read-only but /tmp.

        `config` is the directory that stands at /etc/zotpy.
        """
        for tool in ("unshare", "setpriv"):
            find_program(tool, "apt-get install util-linux")
        mounts = """
            set -e
            mount --bind "$0" "$0"
            mkdir -p "$0/etc/zotpy"
            mount -o remount,bind,ro "$0"
            mount --bind "$1" "$0/etc/zotpy"
            mount -o remount,bind,ro "$0/etc/zotpy"
            mount -t proc proc "$0/proc"
            mount --rbind /dev "$0/dev"
            mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"
            shift
            exec chroot "$0" setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --no-new-privs "$@"
        """
        command: list[str | Path] = ["unshare", "--mount", "sh", "-c", mounts, self.path, config, "zotpy", *arguments]
        inside = {"PATH": "/opt/zotpy/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", **environ}  # noqa: S108 - there
        return Process("zotpy", command, log_path, inside)


def storage_driver(directory: Path) -> str:
    """Return how layers are kept there: one over the other, or copied whole where the file system is made so itself."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", directory], capture_output=True, text=True, check=True
    ).stdout.strip()
    return "overlay" if kind in {"btrfs", "ext2/ext3", "tmpfs", "xfs"} else "vfs"


def debian_base() -> Path:
    """Return the archive that `debian-base` makes, made once and kept outside the checkout."""
    script = CONTAINER / "debian-base"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zotpy" / "images"
    archive = cache / f"debian-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}.tar"
    if not archive.exists():
        find_program("debootstrap", "apt-get install debootstrap debian-archive-keyring")
        if os.getuid() != 0:
            missing(f"only root can make the base: sudo sh {script} {archive}")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            ["sh", script, unfinished], capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False
        )
        if done.returncode != 0:
            unfinished.unlink(missing_ok=True)
            pytest.fail(f"{script}: {done.stderr}")
        unfinished.rename(archive)
    return archive
