"""A Debian with Python and nothing else, made here by debootstrap, in which the README's commands are run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import httpx

from bench.servers import programs
from tests.processes import Process, find_program, missing

CHECKOUT = Path(__file__).parents[2]
RELEASE = "bookworm"
PACKAGES = "ca-certificates,python3"
DEBOOTSTRAP_DEADLINE_S = 600.0
RUNS = "ZOTPY_TEST_BARE"
"""The environment variable that is `all` to run every test there; the clients written in Python are then made there."""
NO_NOTICE = "ZOTPY_HTTP_DRAINNOTICE=0s"
"""For a registry whose readiness tests ask for: with a notice of its end, it would listen for 10 s more."""
INSIDE = Path("srv/zotpy")
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
# What this machine believes package indexes by: the root believes them, too.
AUTHORITIES = Path(os.environ.get("PIP_CERT") or f"/{CERTIFICATES}")
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""
"""As images of Debian have it: packages are unpacked in less time."""
MOUNTS = """
    set -e
    mount -t proc proc "$0/proc"
    mount --rbind /dev "$0/dev"
    mount --rbind /sys "$0/sys"
    mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"
    for kept in $2; do
        mkdir -p "$1/$kept" "$0/root/.cache/zotpy/$kept"
        mount --bind "$1/$kept" "$0/root/.cache/zotpy/$kept"
    done
    shift 2
    cd "$0"
    exec chroot "$0" sh -c 'cd "$0" && exec "$@"' "$@"
"""
"""Leaves the machine's own mounts alone: a mount namespace of its own sees these."""


def is_ready(url: str) -> bool:
    """Say whether the registry at this address is ready for clients."""
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


class BareRoot:
    """The files of a machine on which nobody has done anything yet, and this checkout with its history."""

    def __init__(self, directory: Path) -> None:
        """Make it in an empty directory, by root only."""
        if os.getuid() != 0:
            missing("root is needed for a bare machine: sudo sh tests/run tests/deploy/test_bare_machine.py")
        for tool in ("unshare", "chroot", "tar"):
            find_program(tool, "apt-get install util-linux coreutils tar")
        self.path = directory / "root"
        self.path.mkdir()
        subprocess.run(["tar", "--extract", "--file", base(), "--directory", self.path], check=True)
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        shutil.copy(AUTHORITIES, self.path / CERTIFICATES)
        (self.path / "etc/dpkg/dpkg.cfg.d/zotpy").write_text(DPKG)
        self._take_checkout()

    def process(self, *command: str, log_path: Path) -> Process:
        """Return a program to be run in the checkout there, with what this machine has built for tests."""
        kept = "programs" if os.environ.get(RUNS) == "all" else "programs pushers peers"
        entered: list[str | Path] = ["unshare", "--mount", "sh", "-c", MOUNTS, self.path, programs.cache(), kept]
        entered += [f"/{INSIDE}", *command]
        environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "PIP_CERT": f"/{CERTIFICATES}",
            "PIP_NO_COMPILE": "no",  # says --no-compile: Python compiles what is imported
        }
        return Process("bare machine", entered, log_path, environ)

    def _take_checkout(self) -> None:
        """Clone the history, and lay the files as they are now over it."""
        git = find_program("git", "apt-get install git")
        there = self.path / INSIDE
        subprocess.run([git, "clone", "--quiet", "--no-hardlinks", CHECKOUT, there], check=True)
        names = subprocess.run(
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=CHECKOUT,
            capture_output=True,
            check=True,
        ).stdout.split(b"\0")
        present = [name for name in names if name and os.path.lexists(CHECKOUT / os.fsdecode(name))]
        pack = ["tar", "--create", "--null", "--no-recursion", "--files-from=-"]
        packed = subprocess.run(pack, cwd=CHECKOUT, input=b"\0".join(present), capture_output=True, check=True).stdout
        subprocess.run(["tar", "--extract", "--directory", there], input=packed, check=True)


def base() -> Path:
    """Return an archive of the root, made once and kept outside the checkout."""
    archive = programs.cache() / "images" / f"bare-{RELEASE}-{PACKAGES}.tar"
    if archive.exists():
        return archive
    debootstrap = find_program("debootstrap", "apt-get install debootstrap debian-archive-keyring")
    archive.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".making-", dir=archive.parent))
    root, unfinished = directory / "root", directory / "root.tar"
    try:
        # In a mount namespace of its own: if it is killed, the /proc that it has mounted there is gone with it.
        command: list[str | Path] = ["unshare", "--mount", debootstrap, "--variant=minbase", f"--include={PACKAGES}"]
        command += [RELEASE, root]
        subprocess.run(command, capture_output=True, timeout=DEBOOTSTRAP_DEADLINE_S, check=True)
        shutil.rmtree(root / "var/cache/apt/archives")
        subprocess.run(["tar", "--create", "--file", unfinished, "--directory", root, "."], check=True)
        unfinished.rename(archive)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return archive
