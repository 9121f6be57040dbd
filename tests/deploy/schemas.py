"""Schemas of Kubernetes, strict: the newest releases, and the custom resources that the overlays use."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions, major_minor

from bench.servers import processes
from tests.processes import missing, needed

RELEASES = list(dict.fromkeys(map(major_minor, all_versions())))[-3:]
"""The three newest minor releases that the pinned schemas know."""
CUSTOM = {
    "HTTPRoute": (
        "sigs.k8s.io/gateway-api@v1.6.3",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
    "ServiceMonitor": (
        "github.com/prometheus-operator/prometheus-operator@v0.94.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}
"""Kinds that are not Kubernetes's own: the Go module and the file in it that define each."""


def problem_of(document: dict[str, Any], release: str) -> str | None:
    """Say what is wrong with a document in this release; fields that are not known are wrong, too."""
    try:
        if document["kind"] in CUSTOM:
            jsonschema.validate(document, custom_schema(document["kind"], document["apiVersion"]))
        else:
            kubernetes_validate.validate(document, release, strict=True)
    except jsonschema.ValidationError as error:
        return f"{document['kind']} {document['metadata']['name']}: {error.json_path}: {error.message}"
    return None


@cache
def custom_schema(kind: str, api_version: str) -> dict[str, Any]:
    """Return the schema that a custom resource's own definition gives."""
    module, path = CUSTOM[kind]
    definition = yaml.safe_load((module_directory(module) / path).read_text())
    versions = {version["name"]: version for version in definition["spec"]["versions"] if version["served"]}
    schema = versions[api_version.partition("/")[2]]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    refuse_unknown_fields(schema)
    return dict(schema)


def refuse_unknown_fields(schema: dict[str, Any]) -> None:
    """Make a schema as strict as an API server is with `fieldValidation: Strict`."""
    properties = schema.get("properties", {})
    if properties and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    for below in (*properties.values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(below, dict):
            refuse_unknown_fields(below)


@cache
def module_directory(module: str) -> Path:
    """Return where Go keeps this version of a module; it is fetched once."""
    with needed():
        go = processes.find_program("go", "sh tests/run installs one", [str(Path(sys.executable).parent)])
    done = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, text=True, check=False, cwd="/", timeout=600
    )
    if done.returncode != 0:
        missing(f"{module} cannot be fetched: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])
