"""What the other tests rely on: that a client meets both replicas, request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.blackbox.balancer import REPLICA_HEADER
from tests.blackbox.registry_api import http_client

if TYPE_CHECKING:
    from tests.blackbox.cluster import Cluster


def test_requests_of_one_connection_alternate(cluster: Cluster) -> None:
    """Requests that follow each other on one connection reach the replicas in turn."""
    with http_client(cluster.url) as client:
        answered_by = [client.get("/v2/").headers[REPLICA_HEADER] for _ in range(6)]
    assert answered_by in (["replica0", "replica1"] * 3, ["replica1", "replica0"] * 3)
