"""What the manifests of `deploy/k8s` say, as `kubectl apply -k` would send it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.processes import find_program
from zotpy.config import load_settings

if TYPE_CHECKING:
    from zotpy.settings import Settings

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
BUILT = [".", "base", *(f"overlays/{name}" for name in OVERLAYS)]
Documents = list[dict[str, Any]]


@cache
def built(directory: str) -> Documents:
    """Return the documents that `kubectl apply -k` would send."""
    kustomize = find_program("kustomize", "sh tests/run builds it from tests/clients.txt")
    done = subprocess.run([kustomize, "build", K8S / directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # deprecations
    return list(yaml.safe_load_all(done.stdout))


def one(documents: Documents, kind: str, name: str = "") -> dict[str, Any]:
    """Return the one document of a kind whose name begins with this."""
    [found] = [
        document for document in documents if document["kind"] == kind and document["metadata"]["name"].startswith(name)
    ]
    return found


def pod_specs(documents: Documents) -> list[dict[str, Any]]:
    """Return what pods are made of."""
    templates = [document["spec"]["template"] for document in documents if "template" in document.get("spec", {})]
    templates += [
        document["spec"]["jobTemplate"]["spec"]["template"] for document in documents if document["kind"] == "CronJob"
    ]
    return [template["spec"] for template in templates]


def policies(documents: Documents) -> dict[str, dict[str, Any]]:
    """Return what the network policies say, by their names."""
    return {found["metadata"]["name"]: found["spec"] for found in documents if found["kind"] == "NetworkPolicy"}


def settings_of(documents: Documents, tmp_path: Path) -> tuple[Path, Settings]:
    """Write the configuration where it can be read, and read it."""
    file = tmp_path / "config.yaml"
    file.write_text(one(documents, "ConfigMap", "zotpy")["data"]["config.yaml"])
    return file, load_settings(file, environ={})
