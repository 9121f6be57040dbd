"""The manifests of `deploy/k8s`: built by kustomize, judged by Kubernetes's schemas, true of what they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.manifests import BUILT, OVERLAYS, built, one, pod_specs, policies, settings_of
from tests.deploy.schemas import CUSTOM, RELEASES, problem_of
from zotpy.cli import main
from zotpy.embedded.weed import find_weed
from zotpy.web.app import ROUTES

if TYPE_CHECKING:
    from pathlib import Path

REPLICA = {"app.kubernetes.io/name": "zotpy", "app.kubernetes.io/component": "replica"}
PATHS = {route.rule for route in ROUTES}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("directory", BUILT)
def test_every_document_is_what_the_release_knows(directory: str, release: str) -> None:
    """No field is unknown, misspelt or of a wrong type, custom resources included."""
    assert [problem_of(document, release) for document in built(directory)] == [None] * len(built(directory))


def test_three_releases_are_looked_at() -> None:
    """They follow each other, so that none is passed over."""
    minors = [int(release.partition(".")[2]) for release in RELEASES]
    assert len(minors) == 3
    assert minors == list(range(minors[0], minors[0] + 3))


@pytest.mark.parametrize("kind", ["Deployment", *CUSTOM])
def test_a_field_that_is_not_known_is_found(kind: str) -> None:
    """The check sees a misspelt field, wherever."""
    overlay = {"HTTPRoute": "overlays/gateway-api", "ServiceMonitor": "overlays/monitoring"}.get(kind, "base")
    document = one(built(overlay), kind)
    assert problem_of(document, RELEASES[-1]) is None
    assert problem_of(document | {"spec": document["spec"] | {"misspelt": 1}}, RELEASES[-1]) is not None


@pytest.mark.parametrize("directory", BUILT)
def test_everything_is_in_one_namespace(directory: str) -> None:
    """`kubectl delete namespace zotpy` takes all of it away."""
    spaces = {document["metadata"].get("namespace") for document in built(directory) if document["kind"] != "Namespace"}
    assert spaces == {"zotpy"}


@pytest.mark.parametrize("directory", BUILT)
def test_the_configuration_is_one_that_zotpy_takes(
    directory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a problem and without a warning; it listens for other pods, at the port that the manifests name."""
    file, settings = settings_of(built(directory), tmp_path)
    assert main(["verify", "-c", str(file)]) == 0
    assert "warning" not in capsys.readouterr().out
    [container] = one(built(directory), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [settings.http.port]
    assert settings.http.address == "0.0.0.0"  # noqa: S104 - in a pod


@pytest.mark.parametrize("directory", BUILT)
def test_a_pod_lives_long_enough_to_drain(directory: str, tmp_path: Path) -> None:
    """The grace period is longer than all that may happen in it."""
    _, settings = settings_of(built(directory), tmp_path)
    pod = one(built(directory), "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = pre_stop_s + settings.http.drain_notice_s + settings.http.drain_timeout_s
    assert needed_s < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("directory", BUILT)
def test_memory_is_enough_for_the_budget(directory: str, tmp_path: Path) -> None:
    """The limit leaves the process what it takes beside the bodies under way."""
    _, settings = settings_of(built(directory), tmp_path)
    [container] = one(built(directory), "Deployment")["spec"]["template"]["spec"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert int(limit[:-2]) * 2**30 >= settings.upload.memory_budget_bytes * 1.1 + 256 * 2**20


def test_probes_ask_what_there_is() -> None:
    """Each for its own path, at the named port."""
    [container] = one(built("base"), "Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert set(paths.values()) <= PATHS
    [port] = container["ports"]
    assert all(container[name]["httpGet"]["port"] == port["name"] for name in paths)


@pytest.mark.parametrize("directory", BUILT)
def test_every_container_is_confined(directory: str) -> None:
    """Not root, nothing to write to but volumes, no capability, no way up, no token of the cluster's."""
    for pod in pod_specs(built(directory)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("directory", BUILT)
def test_volumes_and_mounts_belong_together(directory: str) -> None:
    """What is mounted is there, and what is there is mounted; maps are among the documents, and so are secrets.

    One is not: its users are no matter of a repository of manifests.
    """
    documents = built(directory)
    names = {document["metadata"]["name"] for document in documents if document["kind"] in {"ConfigMap", "Secret"}}
    claims = {
        claim["metadata"]["name"]
        for document in documents
        for claim in document.get("spec", {}).get("volumeClaimTemplates", [])
    }
    for pod in pod_specs(documents):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted - claims == set(volumes)
        for volume in volumes.values():
            source = volume.get("configMap", {}).get("name") or volume.get("secret", {}).get("secretName")
            assert source is None or source in {*names, "zotpy-users"}


def test_every_selector_finds_the_replicas() -> None:
    """Service, budget, spread and policy speak of the pods of the deployment, and the autoscaler of it."""
    documents = built("overlays/monitoring")
    deployment = one(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == REPLICA
    assert deployment["spec"]["selector"]["matchLabels"] == REPLICA
    assert one(documents, "Service")["spec"]["selector"] == REPLICA
    assert one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == REPLICA
    for constraint in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == REPLICA
    for policy in policies(documents).values():
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    target = one(documents, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    service = one(documents, "Service")
    watched = one(documents, "ServiceMonitor")["spec"]
    assert watched["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert watched["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert watched["endpoints"][0]["path"] in PATHS


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_the_arguments_are_some_that_zotpy_takes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is all that is wrong with them here."""
    document = one(built("base"), kind)
    spec = document["spec"] if kind == "Deployment" else document["spec"]["jobTemplate"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert main(container["args"]) == 2
    assert capsys.readouterr().err == "zotpy: /etc/zotpy/config.yaml: No such file or directory\n"


def test_the_collector_runs_often_enough(tmp_path: Path) -> None:
    """Four times in a grace period at least: the data of large blobs goes in two steps."""
    _, settings = settings_of(built("base"), tmp_path)
    minute, hours, *rest = one(built("base"), "CronJob")["spec"]["schedule"].split()
    assert minute.isdigit()
    assert rest == ["*"] * 3
    every_s = int(hours.removeprefix("*/")) * 3600
    assert 4 * every_s <= settings.gc.grace_s


def test_the_demo_is_a_whole_registry(tmp_path: Path) -> None:
    """Replicas find the store by its service, with the keys that it was given; the program is in the image."""
    documents = built("overlays/demo")
    _, settings = settings_of(documents, tmp_path)
    store = one(documents, "StatefulSet")
    service = one(documents, "Service", store["spec"]["serviceName"])
    assert settings.storage.s3 is not None
    assert settings.storage.s3.create_bucket
    assert settings.storage.s3.endpoint == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    labels = store["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    [container] = store["spec"]["template"]["spec"]["containers"]
    assert container["command"] == [find_weed().name]
    images = {
        document["spec"]["template"]["spec"]["containers"][0]["image"]
        for document in (store, one(documents, "Deployment"))
    }
    assert len(images) == 1


def test_the_top_is_the_demo() -> None:
    """`kubectl apply -k deploy/k8s` needs no cloud account."""
    assert built(".") == built("overlays/demo")


def test_no_keys_are_in_the_manifests_but_the_demos() -> None:
    """Others name a secret, which need not be there where the service account has rights."""
    for name in OVERLAYS:
        secrets = [document for document in built(f"overlays/{name}") if document["kind"] == "Secret"]
        assert bool(secrets) == (name == "demo")
    [container] = one(built("base"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "zotpy-s3", "optional": True}}]
    account = one(built("overlays/aws"), "ServiceAccount")
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
