"""Documents: a manifest as clients push it, a record as the store keeps it."""

from bench.clients.content import Content
from bench.clients.images import Image
from bench.micro.timing import Micro
from zotpy.core.digests import Digest
from zotpy.core.framing import frame, unframe
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.media_types import OCI_IMAGE

LAYERS = 5


def micros() -> list[Micro]:
    """Return what is measured here."""
    manifest = Image("micro", "latest", [Content(str(index), 1000 + index) for index in range(1 + LAYERS)]).manifest
    framed = frame({"v": 1, "type": OCI_IMAGE}, manifest)
    text = f"sha256:{'a' * 64}"
    return [
        Micro(f"manifest of {LAYERS} layers, parse", lambda: parse_manifest(manifest, OCI_IMAGE)),
        Micro("manifest, digest", lambda: Digest.of(manifest)),
        Micro("digest, parse", lambda: Digest.parse(text)),
        Micro("record, frame", lambda: frame({"v": 1, "type": OCI_IMAGE}, manifest)),
        Micro("record, unframe", lambda: unframe(framed)),
    ]
