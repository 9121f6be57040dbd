"""Documents: a manifest as clients push it, a record as the store keeps it."""

import json

from bench.micro.timing import Micro
from zotpy.core.digests import Digest
from zotpy.core.framing import frame, unframe
from zotpy.core.manifest_facts import OCI_IMAGE, parse_manifest

LAYERS = 5


def micros() -> list[Micro]:
    """Return what is measured here."""
    manifest = _manifest()
    framed = frame({"v": 1, "type": OCI_IMAGE}, manifest)
    text = f"sha256:{'a' * 64}"
    return [
        Micro(f"manifest of {LAYERS} layers, parse", lambda: parse_manifest(manifest, OCI_IMAGE)),
        Micro("manifest, digest", lambda: Digest.of(manifest)),
        Micro("digest, parse", lambda: Digest.parse(text)),
        Micro("record, frame", lambda: frame({"v": 1, "type": OCI_IMAGE}, manifest)),
        Micro("record, unframe", lambda: unframe(framed)),
    ]


def _manifest() -> bytes:
    kinds = ["config.v1+json", *["layer.v1.tar+gzip"] * LAYERS]
    config, *layers = [
        {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": str(Digest.of(f"{index}".encode())),
            "size": 1000 + index,
        }
        for index, kind in enumerate(kinds)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers}).encode()
