"""Descriptors by which the referrers API lists manifests (OCI distribution spec, end-12), none too long for a page.

A descriptor repeats the annotations of its manifest, which may be megabytes, and clients read no more than 4 MiB of a
page. So the list leaves out annotations that are too long together. The manifest still has them.
"""

import json
from collections.abc import Mapping
from typing import Any

KEPT_ANNOTATIONS_BYTES = 64 * 1024
"""The longest annotations of one referrer, as written in the bucket. A page may show fewer."""
LONGEST_TYPE = 255
"""A media type has two names of 127 characters at most (RFC 6838, section 4.2)."""
_FIELDS = ("mediaType", "digest", "size")


def bounded(descriptor: Mapping[str, Any], annotations_bytes: int) -> dict[str, Any]:
    """Return a descriptor with the first annotations that fit into `annotations_bytes` of JSON.

    It leaves out an artifact type that is too long to be one.
    """
    result = {name: descriptor[name] for name in _FIELDS if name in descriptor}
    artifact_type, annotations = descriptor.get("artifactType"), descriptor.get("annotations")
    if isinstance(artifact_type, str) and len(artifact_type) <= LONGEST_TYPE:
        result["artifactType"] = artifact_type
    kept: dict[str, str] = {}
    left_bytes = annotations_bytes
    for name, value in annotations.items() if isinstance(annotations, dict) else ():
        if not isinstance(value, str) or len(name) + len(value) > left_bytes:
            continue  # checked before it is written as JSON, which may take several times as much
        size_bytes = json_bytes({name: value})
        if size_bytes <= left_bytes:
            kept[name] = value
            left_bytes -= size_bytes
    if kept:
        result["annotations"] = kept
    return result


def json_bytes(value: object) -> int:
    """Return how long a value is in an answer."""
    return len(json.dumps(value))
