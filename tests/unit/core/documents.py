"""Manifests as clients write them."""

import json
from typing import Any

from zotpy.core.digests import Digest
from zotpy.core.manifest_facts import ManifestFacts, parse_pushed
from zotpy.core.media_types import OCI_IMAGE
from zotpy.settings import Settings

CONFIG, ONE, TWO, SUBJECT = (Digest.of(name) for name in (b"config", b"1", b"2", b"subject"))
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def descriptor(digest: Digest, media_type: str = LAYER) -> dict[str, Any]:
    """Write a descriptor."""
    return {"mediaType": media_type, "digest": str(digest), "size": 3}


def image(**fields: Any) -> dict[str, Any]:
    """Write an image of two layers, with some fields replaced."""
    config, layers = descriptor(CONFIG, CONFIG_TYPE), [descriptor(ONE), descriptor(TWO)]
    return {"schemaVersion": 2, "config": config, "layers": layers} | fields


def index(*children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Write an index."""
    return {"schemaVersion": 2, "manifests": list(children)} | fields


def parsed(document: object, content_type: str | None = OCI_IMAGE) -> ManifestFacts:
    """Push a document."""
    return parse_pushed(json.dumps(document).encode(), content_type, Settings().manifest.limits)
