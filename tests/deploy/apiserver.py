"""A Kubernetes API server with its store, for manifests to be applied to: no controller, no node, nothing runs."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.certificates import self_signed
from tests.deploy.schemas import CUSTOM, module_directory
from tests.processes import Process, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "ZOTPY_TEST_KUBERNETES"


class Cluster:
    """What `kubectl` says to an API server."""

    def __init__(self, kubectl: Path, config: Path) -> None:
        """Take the program and the file that leads it to the server."""
        self._command: list[str | Path] = [kubectl, f"--kubeconfig={config}"]

    def __call__(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `kubectl` with these arguments, to whatever end."""
        return subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, check=False, input=stdin, timeout=120
        )

    def done(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run `kubectl`, which must succeed without a warning, and return what it prints."""
        done = self(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def objects(self, kinds: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the objects of these kinds in the namespace, by kind and name."""
        items = json.loads(self.done("--namespace=zotpy", "get", kinds, "--output=json"))["items"]
        return {(item["kind"], item["metadata"]["name"]): item for item in items}

    def is_ready(self) -> bool:
        """Tell whether the server serves."""
        return self("get", "--raw=/readyz").stdout == "ok"


@contextmanager
def running(directory: Path) -> Iterator[Cluster]:
    """Run the programs of the directory that the variable names, on loopback, with the overlays' custom resources."""
    named = os.environ.get(VARIABLE)
    if not named:  # under CI, too: no package has an API server, and building one takes longer than all tests
        pytest.skip(f"{VARIABLE} does not name a directory with kube-apiserver, etcd and kubectl")
    programs = Path(named)
    store, peers, port, token = free_port(), free_port(), free_port(), secrets.token_hex(16)
    certificate = self_signed(directory)
    openssl = find_program("openssl", "apt-get install openssl")
    subprocess.run([openssl, "genrsa", "-out", directory / "accounts.key"], check=True, capture_output=True)
    (directory / "tokens").write_text(f"{token},admin,admin,system:masters\n")
    config = directory / "config"
    config.write_text(json.dumps(client_settings(port, directory / "ca.crt", token)))
    cluster = Cluster(programs / "kubectl", config)
    url, peer_url = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peers}"
    etcd = [f"--data-dir={directory / 'etcd'}", f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
    etcd += [f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}", "--unsafe-no-fsync"]
    etcd += [f"--initial-cluster=default={peer_url}"]
    server = [f"--etcd-servers={url}", "--bind-address=127.0.0.1", f"--secure-port={port}", "--authorization-mode=RBAC"]
    server += [f"--tls-cert-file={certificate}", f"--tls-private-key-file={certificate}", f"--cert-dir={directory}"]
    server += [f"--token-auth-file={directory / 'tokens'}", "--service-account-issuer=https://localhost"]
    server += [f"--service-account-{use}-file={directory / 'accounts.key'}" for use in ("key", "signing-key")]
    server += ["--service-cluster-ip-range=198.18.0.0/24", "--endpoint-reconciler-type=none"]
    server += ["--disable-admission-plugins=ServiceAccount"]  # accounts named `default` come from a controller
    processes = [
        Process("etcd", [programs / "etcd", *etcd], directory / "etcd.log"),
        Process("kube-apiserver", [programs / "kube-apiserver", *server], directory / "kube-apiserver.log"),
    ]
    try:
        processes[0].start(lambda: True)  # the server waits for it
        processes[1].start(cluster.is_ready, deadline_s=180)
        for module, path in CUSTOM.values():
            definition = module_directory(module) / path
            cluster.done("create", "-f", definition)
            cluster.done("wait", "--for=condition=Established", "--timeout=60s", "-f", definition)
        yield cluster
    finally:
        for process in reversed(processes):
            process.stop()


def client_settings(port: int, ca: Path, token: str) -> dict[str, Any]:
    """Return the configuration with which `kubectl` finds the server and is its administrator."""
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
