"""The manifests of `deploy/k8s` on an API server: every overlay is taken as it is, and so is every pod made of it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.apiserver import running
from tests.deploy.manifests import K8S, OVERLAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deploy.apiserver import Cluster

TEMPLATED = "deployments,statefulsets,cronjobs"
KINDS = f"{TEMPLATED},services,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,ingresses,secrets"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return an API server, skipping the test where nobody has said where one is."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def pods_of(cluster: Cluster) -> dict[tuple[str, str], dict[str, Any]]:
    """Return a pod as the controllers would make it of each template in the namespace."""
    pods = {}
    for (kind, name), item in cluster.objects(TEMPLATED).items():
        spec = item["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else item["spec"]
        pod = copy.deepcopy(spec["template"])
        pod["metadata"] |= {"name": f"{name}-pod", "namespace": "zotpy"}
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        pod["spec"]["volumes"] += [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
        pods[kind, name] = {"apiVersion": "v1", "kind": "Pod", **pod}
    return pods


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_taken_and_stays(cluster: Cluster, overlay: str) -> None:
    """Applied strictly they give no error and no warning, and applied again they change nothing."""
    apply = ("apply", "--validate=strict", "-k", K8S / "overlays" / overlay)
    cluster.done(*apply)
    before = {key: item["metadata"]["resourceVersion"] for key, item in cluster.objects(KINDS).items()}
    assert ("Deployment", "zotpy") in before
    cluster.done(*apply)
    assert {key: item["metadata"]["resourceVersion"] for key, item in cluster.objects(KINDS).items()} == before
    assert cluster.done("diff", "-k", K8S / "overlays" / overlay) == ""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_admitted(cluster: Cluster, overlay: str) -> None:
    """The namespace enforces the restricted profile, and lets in each pod that controllers would make."""
    cluster.done("apply", "-k", K8S / "overlays" / overlay)
    pods = pods_of(cluster)
    assert {("Deployment", "zotpy"), ("CronJob", "zotpy-gc")} <= set(pods)
    for pod in pods.values():
        cluster.done("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_a_pod_with_more_rights_is_refused(cluster: Cluster) -> None:
    """The profile is enforced, not only named: a root's pod is not admitted, and a template of it is warned of."""
    cluster.done("apply", "-k", K8S / "overlays" / "demo")
    pod = pods_of(cluster)["Deployment", "zotpy"]
    pod["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}
    refused = cluster("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr
    patch = json.dumps({"spec": {"template": {"spec": {"securityContext": {"runAsNonRoot": False}}}}})
    warned = cluster("--namespace=zotpy", "patch", "deployment", "zotpy", "--dry-run=server", f"--patch={patch}")
    assert warned.returncode == 0
    assert 'would violate PodSecurity "restricted' in warned.stderr
