"""`zotpy sync` in deployments: the component for Kubernetes, alone and with those of logins and rules."""

from __future__ import annotations

import os
import subprocess
from configparser import ConfigParser
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.manifests import K8S, built, one, pod_specs
from tests.deploy.schemas import RELEASES, problem_of
from tests.deploy.test_units import UNITS
from tests.processes import find_program
from zotpy.cli import _parser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.manifests import Documents

OF_LOGINS = ("users", "rules", "oidc")


def with_sync(directory: Path, *others: str) -> Documents:
    """Return what an overlay is made of that names the component, and others after it."""
    base, *components = (
        os.path.relpath(K8S / name, directory)
        for name in ("base", *(f"components/{name}" for name in ("sync", *others)))
    )
    text = f"namespace: zotpy\nresources: [{base}]\ncomponents: [{', '.join(components)}]\n"
    (directory / "kustomization.yaml").write_text(f"apiVersion: kustomize.config.k8s.io/v1beta1\n{text}")
    kustomize = find_program("kustomize", "sh tests/run builds it from tests/clients.txt")
    done = subprocess.run([kustomize, "build", directory], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def pod_of(documents: Documents, name: str) -> dict[str, Any]:
    """Return what the pods of a CronJob are made of."""
    [pod] = pod_specs([one(documents, "CronJob", name)])
    return pod


@pytest.mark.parametrize("release", RELEASES)
def test_the_component_adds_one_job(release: str, tmp_path: Path) -> None:
    """Kubernetes knows each field of it, and everything else is as without it."""
    documents = with_sync(tmp_path)
    job = one(documents, "CronJob", "zotpy-sync")
    assert problem_of(job, release) is None
    assert len(documents) == len(built("base")) + 1
    assert one(documents, "CronJob", "zotpy-gc") == one(built("base"), "CronJob")


@pytest.mark.parametrize("others", [(), *((name,) for name in OF_LOGINS), OF_LOGINS])
def test_its_pods_are_like_those_of_the_collector(others: tuple[str, ...], tmp_path: Path) -> None:
    """They are confined alike, and read the same configuration with the same logins and rules."""
    documents = with_sync(tmp_path, *others)
    pods = [pod_of(documents, name) for name in ("zotpy-gc", "zotpy-sync")]
    for pod in pods:
        [container] = pod["containers"]
        options = _parser().parse_args(container["args"])
        assert str(options.config) == "/etc/zotpy/config.yaml"
        for name in ("name", "args"):
            del container[name]
        for volume in pod["volumes"]:
            volume.get("emptyDir", {}).pop("sizeLimit", None)
    assert pods[0] == pods[1]
    assert bool(others) == ("env" in pods[1]["containers"][0])


def test_timers_look_for_what_is_due() -> None:
    """The systemd unit and the CronJob run `zotpy sync --due` with arguments that the command accepts."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(UNITS / "zotpy-sync.service")
    [container] = pod_of(yaml_of("components/sync/cronjob.yaml"), "zotpy-sync")["containers"]
    for words in (unit["Service"]["ExecStart"].split()[1:], container["args"]):
        assert _parser().parse_args(words).due


def yaml_of(path: str) -> Documents:
    """Return the documents of a file."""
    return list(yaml.safe_load_all((K8S / path).read_text()))
