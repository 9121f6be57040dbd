"""Logins at mirrored registries in deployments: the component for Kubernetes, and the drop-in for systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.manifests import one, pod_specs
from tests.deploy.schemas import RELEASES, problem_of
from tests.deploy.test_sync_parts import with_sync
from tests.deploy.test_units import UNITS
from zotpy.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "ZOTPY_EXTENSIONS_SYNC_CREDENTIALSFILE"
DROP_IN = UNITS.parent / "upstreams.conf"


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("kind", "name"), [("Deployment", "zotpy"), ("CronJob", "zotpy-sync")])
def test_replicas_and_the_job_get_the_logins(release: str, kind: str, name: str, tmp_path: Path) -> None:
    """Kubernetes knows each field. The variable names a file in the secret, beside the users of another component."""
    documents = with_sync(tmp_path, "users", "upstreams")
    resource = one(documents, kind, name)
    assert problem_of(resource, release) is None
    [pod] = pod_specs([resource])
    [container] = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert values[VARIABLE] == f"{mounts['upstreams']}/upstreams.json"
    assert {"name": "upstreams", "secret": {"secretName": "zotpy-upstreams"}} in pod["volumes"]
    assert "users" in mounts


def test_the_collector_gets_no_logins(tmp_path: Path) -> None:
    """It asks no upstream."""
    [pod] = pod_specs([one(with_sync(tmp_path, "upstreams"), "CronJob", "zotpy-gc")])
    assert "zotpy-upstreams" not in str(pod)


def test_the_drop_in_names_the_file_that_it_loads(tmp_path: Path) -> None:
    """The variable leads to the credential of the same name, below `%d`, where systemd shows credentials."""
    lines = dict(line.split("=", 1) for line in DROP_IN.read_text().splitlines() if line and line[0] not in "#[")
    name, _, source = lines["LoadCredential"].partition(":")
    assert source == "/etc/zotpy/upstreams.json"
    variable, _, value = lines["Environment"].partition("=")
    assert (variable, value) == (VARIABLE, f"%d/{name}")
    file = tmp_path / name
    file.write_text("{}")
    assert load_settings(None, {variable: value.replace("%d", str(tmp_path))}).mirror.credentials == file
