"""The command-line clients, run with a home of their own so that nothing of the machine's configuration matters."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.processes import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLIENT_DEADLINE_S = 180.0
INSTALL = {
    "crane": "go install github.com/google/go-containerregistry/cmd/crane@latest",
    "cosign": "sh tests/run builds it from tests/clients.txt",
    "helm": "go install helm.sh/helm/v3/cmd/helm@latest",
    "oras": "go install oras.land/oras/cmd/oras@latest",
    "regctl": "go install github.com/regclient/regclient/cmd/regctl@latest",
    "conformance": "go install github.com/opencontainers/distribution-spec/conformance@main",
    "skopeo": "apt-get install skopeo",
    "podman": "apt-get install podman",
    "buildah": "apt-get install buildah",
}
ACCEPT_ANY_IMAGE = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


class Client:
    """One client program; called with arguments it returns what the program printed."""

    def __init__(self, name: str, env: Mapping[str, str], options: Sequence[str | Path] = ()) -> None:
        """Find the program, by its name or its path; `options` go before the arguments of every call."""
        self._program = find_program(name, INSTALL.get(name, "sh tests/run"))
        self._env = dict(env)
        self._options = [str(option) for option in options]

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> str:
        """Run the program to its end; a status other than 0 fails the test with all that it printed."""
        status, output, errors = self._run(arguments, stdin, cwd)
        if status != 0:
            words = " ".join([self._program.name, *map(str, arguments)])
            pytest.fail(f"{words}: exit status {status}\n{output}\n{errors}")
        return output.strip()

    def refused(self, *arguments: str | Path) -> str:
        """Run the program, which must fail, and return what it printed as its error."""
        status, output, errors = self._run(arguments, b"", None)
        if status == 0:
            words = " ".join([self._program.name, *map(str, arguments)])
            pytest.fail(f"{words}: succeeded, but should not have\n{output}")
        return errors

    def tried(self, *arguments: str | Path) -> str | None:
        """Run the program, and return what it printed as its error where it failed."""
        status, _, errors = self._run(arguments, b"", None)
        return None if status == 0 else errors

    def printed(self, *arguments: str | Path, cwd: Path) -> str:
        """Run the program, whatever status it ends with, and return all that it printed."""
        _, output, errors = self._run(arguments, b"", cwd)
        return f"{output}\n{errors}"

    def _run(self, arguments: Sequence[str | Path], stdin: bytes, cwd: Path | None) -> tuple[int, str, str]:
        command = [str(self._program), *self._options, *map(str, arguments)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, env=self._env, cwd=cwd, timeout=CLIENT_DEADLINE_S, check=False
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def isolated_environment(home: Path) -> dict[str, str]:
    """Make a home directory that accepts any image and return the environment in which only it counts."""
    for name in ("run", "tmp", ".config/containers", ".docker", ".regctl"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / ".docker" / "config.json").write_text("{}\n")
    configuration = home / ".config" / "containers"
    (configuration / "policy.json").write_text(ACCEPT_ANY_IMAGE)
    (configuration / "registries.conf").write_text("unqualified-search-registries = []\n")
    (configuration / "containers.conf").write_text('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n')
    (configuration / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/storage"\nrunroot = "{home}/run/storage"\n'
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "DOCKER_CONFIG": str(home / ".docker"),
        "REGCTL_CONFIG": str(home / ".regctl" / "config.json"),
        "CONTAINERS_CONF": str(configuration / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(configuration / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(configuration / "storage.conf"),
    }
