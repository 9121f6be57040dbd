"""The byte cache in deployments: the component for Kubernetes, and the drop-in for systemd."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import yaml

from tests.deploy.manifests import K8S, built, one
from tests.deploy.test_units import UNITS
from tests.processes import find_program
from zotpy.cache.shelf import Shelf
from zotpy.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.manifests import Documents

DROP_IN = UNITS.parent / "cache.conf"
DIRECTORY, SIZE = "ZOTPY_CACHE_DIRECTORY", "ZOTPY_CACHE_SIZE"


def with_cache(directory: Path, overlay: str) -> Documents:
    """Return what an overlay that names the component beside another overlay is made of."""
    places = {
        kind: os.path.relpath(K8S / name, directory) for kind, name in (("r", overlay), ("c", "components/cache"))
    }
    text = f"resources: [{places['r']}]\ncomponents: [{places['c']}]\n"
    (directory / "kustomization.yaml").write_text(f"apiVersion: kustomize.config.k8s.io/v1beta1\n{text}")
    kustomize = find_program("kustomize", "sh tests/run builds it from tests/clients.txt")
    done = subprocess.run([kustomize, "build", directory], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def test_pods_have_a_directory_with_a_limit(tmp_path: Path) -> None:
    """Zotpy takes the settings without a warning, and may hold less than the limit. Nothing else is different."""
    documents = with_cache(tmp_path, "overlays/nginx")
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    env = {each["name"]: each["value"] for each in container["env"] if each["name"] in {DIRECTORY, SIZE}}
    settings = load_settings(None, env)
    assert settings.warnings == ()
    assert {"name": "cache", "mountPath": env[DIRECTORY]} in container["volumeMounts"]
    [volume] = [each for each in pod["volumes"] if each["name"] == "cache"]
    limit = volume["emptyDir"]["sizeLimit"]
    assert settings.cache.size_bytes < int(limit.removesuffix("Gi")) << 30
    assert container["resources"]["requests"].pop("ephemeral-storage") == limit

    container["env"] = [each for each in container["env"] if each["name"] not in env]
    container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] != "cache"]
    pod["volumes"].remove(volume)
    plain = one(built("overlays/nginx"), "Deployment")
    without = {key: value for key, value in container.items() if value != []}
    assert without == plain["spec"]["template"]["spec"]["containers"][0]
    assert {**pod, "containers": []} == {**plain["spec"]["template"]["spec"], "containers": []}


def test_the_drop_in_names_the_directory_that_systemd_makes(tmp_path: Path) -> None:
    """The variable leads to it, below `%C`, one for each port; a replica can use it."""
    lines = dict(line.split("=", 1) for line in DROP_IN.read_text().splitlines() if line and line[0] not in "#[")
    variable, _, value = lines["Environment"].partition("=")
    assert (variable, value) == (DIRECTORY, f"%C/{lines['CacheDirectory']}")
    made = tmp_path / lines["CacheDirectory"].replace("%i", "5001")
    made.mkdir(mode=int(lines["CacheDirectoryMode"], 8), parents=True)
    cache = load_settings(None, {variable: value.replace("%C", str(tmp_path)).replace("%i", "5001")}).cache
    assert cache.directory == made
    shelf = Shelf.open(cache.directory, cache.size_bytes)
    shelf.close()
    assert (made / "0").is_dir()
