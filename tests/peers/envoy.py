"""Envoy in front of a replica: it ends TLS, verifies client certificates, and passes on what it saw of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.servers.processes import accepts
from tests.peers.issuers import find_peer
from tests.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXTENSIONS = "type.googleapis.com/envoy.extensions"


class Envoy:
    """An Envoy of one address and one backend."""

    def __init__(
        self, directory: Path, backend: int, certificate: Path, client_ca: Path, told: Mapping[str, bool]
    ) -> None:
        """Write its configuration. Nothing is started yet.

        `told` is its `set_current_client_cert_details`: what of a certificate it passes on.
        """
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        written = directory / "envoy.json"
        written.write_text(json.dumps(configuration(self.port, backend, certificate, client_ca, told), indent=2))
        command: list[str | Path] = [find_peer("envoy"), "--config-path", written, "--concurrency", "1"]
        self.process = Process("envoy", [*command, "--disable-hot-restart"], directory / "envoy.log")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process.start(lambda: accepts(self.port))

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()


def configuration(
    port: int, backend: int, certificate: Path, client_ca: Path, told: Mapping[str, bool]
) -> dict[str, Any]:
    """Return what Envoy is started with."""
    tls = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [
                {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(certificate)}}
            ],
            "validation_context": {"trusted_ca": {"filename": str(client_ca)}},
        },
    }
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "registry",
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": dict(told),
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "registry",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "replicas", "timeout": "0s"}}],
                }
            ]
        },
    }
    listener = {
        "address": _address(port),
        "filter_chains": [
            {
                "transport_socket": {"name": "tls", "typed_config": tls},
                "filters": [{"name": "http", "typed_config": manager}],
            }
        ],
    }
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _address(backend)}}]}
    cluster = {"name": "replicas", "load_assignment": {"cluster_name": "replicas", "endpoints": [endpoint]}}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
