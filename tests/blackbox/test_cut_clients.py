"""Clients that are cut, in what an operator sees of them."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.blackbox.cluster import Cluster


def cuts(url: str) -> dict[str, float]:
    """Return how many requests were cut for each reason."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").raise_for_status().text)
    samples = [sample for family in families for sample in family.samples if sample.name == "zotpy_http_cuts_total"]
    return {sample.labels["reason"]: sample.value for sample in samples}


def test_a_client_that_leaves_is_counted_and_logged(cluster: Cluster, repository: str) -> None:
    """The metrics say why requests ended in the middle, and so does the line of the request in the log."""
    replica = cluster.replicas[0]
    before, logged = cuts(replica.url).get("client_gone", 0), replica.process.log_size()
    with socket.create_connection(("127.0.0.1", replica.port)) as client:
        head = f"PUT /v2/{repository}/manifests/v1 HTTP/1.1\r\nHost: registry\r\nContent-Length: 1000\r\n\r\n{{"
        client.sendall(head.encode())
    wait_until(lambda: cuts(replica.url).get("client_gone", 0) == before + 1, "the client was counted")
    events = [json.loads(line) for line in replica.process.log_tail(logged).splitlines()]
    (line,) = [event for event in events if event.get("method") == "PUT"]
    assert (line["status"], line["cut"]) == (408, "client_gone")
    assert all("cut" not in event for event in events if event is not line)
