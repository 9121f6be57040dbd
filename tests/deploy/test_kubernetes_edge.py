"""What stands in front in `deploy/k8s`: it leads to the replicas, passes bodies on, and nothing else gets to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.manifests import built, one, policies, settings_of
from zotpy.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("directory", "let_in"),
    [
        ("base", set()),
        ("overlays/demo", set()),
        ("overlays/nginx", {"ingress-nginx"}),
        ("overlays/aws", {"ingress-nginx"}),
        ("overlays/gateway-api", {"gateway-system"}),
        ("overlays/monitoring", {"ingress-nginx", "monitoring"}),
    ],
)
def test_only_what_is_in_front_gets_in(directory: str, let_in: set[str], tmp_path: Path) -> None:
    """Pods of other namespaces cannot reach a replica, so none can say who a client is; nor is anyone believed."""
    documents = built(directory)
    namespaces = set()
    for policy in policies(documents).values():
        assert "Ingress" in policy["policyTypes"]
        for rule in policy.get("ingress", []):
            assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
            [source] = rule["from"]
            [namespace] = source["namespaceSelector"]["matchLabels"].values()
            namespaces.add(namespace)
    assert namespaces == let_in
    _, settings = settings_of(documents, tmp_path)
    assert settings.http.trusted_proxies == ()


def test_a_gateway_is_let_in_from_where_it_is() -> None:
    """The policy names the namespace of the Gateway that the route names."""
    documents = built("overlays/gateway-api")
    [parent] = one(documents, "HTTPRoute")["spec"]["parentRefs"]
    [source] = policies(documents)["zotpy-gateway"]["ingress"][0]["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": parent["namespace"]}


@pytest.mark.parametrize(("directory", "kind"), [("overlays/nginx", "Ingress"), ("overlays/gateway-api", "HTTPRoute")])
def test_the_edge_leads_to_the_service(directory: str, kind: str) -> None:
    """It names the service's own name and port, for `/v2/` and for the endpoint of tokens."""
    documents = built(directory)
    service = one(documents, "Service")
    [port] = service["spec"]["ports"]
    rule = one(documents, kind)["spec"]["rules"][0]
    if kind == "Ingress":
        paths = rule["http"]["paths"]
        for path in paths:
            backend = path["backend"]["service"]
            assert (backend["name"], backend["port"]["name"]) == (service["metadata"]["name"], port["name"])
        assert [(path["path"], path["pathType"]) for path in paths] == [("/v2/", "Prefix"), ("/zot/auth/", "Prefix")]
    else:
        [backend] = rule["backendRefs"]
        assert (backend["name"], backend["port"]) == (service["metadata"]["name"], port["port"])
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": value}} for value in ("/v2/", "/zot/auth/")]


def test_bodies_pass_the_ingress_unbuffered_and_unbounded() -> None:
    """What ingress-nginx does by itself would refuse layers above 1 MiB and keep others on its disk first."""
    annotations = one(built("overlays/nginx"), "Ingress")["metadata"]["annotations"]
    said = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    assert said["proxy-body-size"] == "0"
    assert said["proxy-request-buffering"] == said["proxy-buffering"] == "off"
    assert int(said["proxy-read-timeout"]) > Settings().gc.deadline_s
