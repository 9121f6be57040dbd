"""Logins and rules in deployments: the components for Kubernetes, and the drop-in for systemd."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.deploy.manifests import built, one
from tests.deploy.test_units import UNITS
from zotpy.cli import main
from zotpy.config import load_settings

OVERLAY, OF_JOBS = "overlays/access", "overlays/oidc"
DROP_IN = UNITS.parent / "users.conf"
PATH, RULES = "ZOTPY_HTTP_AUTH_HTPASSWD_PATH", "ZOTPY_HTTP_ACCESSCONTROL"
ISSUERS = "ZOTPY_HTTP_AUTH_BEARER_OIDC"


def pods(overlay: str = OVERLAY) -> list[dict[str, Any]]:
    """Return what the pods of replicas and of the collector are made of."""
    documents = built(overlay)
    collector = one(documents, "CronJob")["spec"]["jobTemplate"]["spec"]
    return [each["template"]["spec"] for each in (one(documents, "Deployment")["spec"], collector)]


@pytest.mark.parametrize("index", [0, 1], ids=["replica", "collector"])
def test_pods_have_users_and_rules(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zotpy takes both without a warning. The secret is mounted whole, so that its changes are seen."""
    pod = pods()[index]
    [container] = pod["containers"]
    env = {each["name"]: each for each in container["env"]}
    users = PurePosixPath(env[PATH]["value"])
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "users"]
    assert (mount["mountPath"], mount["readOnly"]) == (str(users.parent), True)
    assert "subPath" not in mount
    assert {"name": "users", "secret": {"secretName": "zotpy-users"}} in pod["volumes"]
    rules = said(OVERLAY, env[RULES])

    (tmp_path / users.name).write_text("ci:$2y$10$abcdefghijklmnopqrstuuR6Z3QyKl0QyPzJ1fJbXf6oQzZQv5Y1u\n")
    file = tmp_path / "config.yaml"
    file.write_text(one(built(OVERLAY), "ConfigMap", "zotpy")["data"]["config.yaml"])
    variables = {PATH: str(tmp_path / users.name), RULES: rules}
    settings = load_settings(file, variables)
    assert settings.auth.htpasswd == tmp_path / users.name
    assert settings.warnings == ()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = ["access", "-c", str(file), "--repo", "team/app", "--tag", "v1", "--user"]
    assert main([*asked, "ci", "--action", "update"]) == 1
    assert main([*asked, "admin", "--action", "update"]) == 0
    assert main([*asked, "anybody", "--action", "read"]) == 0


def said(overlay: str, variable: dict[str, Any]) -> str:
    """Return the value of a variable that is in a ConfigMap."""
    reference = variable["valueFrom"]["configMapKeyRef"]
    return str(one(built(overlay), "ConfigMap", reference["name"])["data"][reference["key"]])


@pytest.mark.parametrize("index", [0, 1], ids=["replica", "collector"])
def test_pods_know_issuers_of_tokens(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zotpy takes them with the rules and without a warning. There is no secret, and no file of users."""
    pod = pods(OF_JOBS)[index]
    [container] = pod["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert PATH not in env
    assert "zotpy-users" not in str(pod)
    file = tmp_path / "config.yaml"
    file.write_text(one(built(OF_JOBS), "ConfigMap", "zotpy")["data"]["config.yaml"])
    variables = {name: said(OF_JOBS, env[name]) for name in (ISSUERS, RULES)}
    settings = load_settings(file, variables)
    [issuer] = settings.auth.issuers
    assert (issuer.issuer, issuer.audiences) == (
        "https://token.actions.githubusercontent.com",
        frozenset({"registry.example.com"}),
    )
    assert settings.warnings == ()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = ["access", "-c", str(file), "--repo", "team/app", "--tag", "latest", "--action", "update", "--user"]
    assert main([*asked, "ci:acme/app"]) == 0
    assert main([*asked, "ci:acme/other"]) == 1


def test_the_drop_in_names_the_file_that_it_loads(tmp_path: Path) -> None:
    """The variable leads to the credential of the same name, below `%d`, where systemd shows credentials."""
    lines = dict(line.split("=", 1) for line in DROP_IN.read_text().splitlines() if line and line[0] not in "#[")
    name, _, source = lines["LoadCredential"].partition(":")
    assert source == "/etc/zotpy/htpasswd"
    variable, _, value = lines["Environment"].partition("=")
    assert (variable, value) == (PATH, f"%d/{name}")
    (tmp_path / name).write_text("")
    assert load_settings(None, {variable: value.replace("%d", str(tmp_path))}).auth.htpasswd == tmp_path / name
