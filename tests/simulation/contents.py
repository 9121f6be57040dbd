"""What is pushed: a few small and large blobs, images that share them, an index, a referrer. All of it is made once."""

from __future__ import annotations

import json
from dataclasses import dataclass

from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import RepositoryName, Tag

INLINE_BYTES = 16
"""A blob up to this length is in its entry."""
PART_BYTES = 64
REPOS = (RepositoryName.parse("team/app"), RepositoryName.parse("team/other"))
TAGS = (Tag("v1"), Tag("v2"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, and what it needs."""

    name: str
    content: bytes
    media_type: str
    digest: Digest
    blobs: tuple[Digest, ...] = ()
    children: tuple[Digest, ...] = ()


def _descriptor(digest: Digest, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(digest), "size": 2}


def _image(name: str, *layers: bytes, subject: Digest | None = None) -> Manifest:
    blobs = [Digest.of(body) for body in (CONFIG, *layers)]
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": _descriptor(blobs[0]),
        "layers": [_descriptor(blob) for blob in blobs[1:]],
        "annotations": {"name": name},
    }
    if subject is not None:
        document["subject"] = _descriptor(subject, OCI_IMAGE)
    content = json.dumps(document).encode()
    return Manifest(name, content, OCI_IMAGE, Digest.of(content), tuple(blobs))


def _index(name: str, *children: Manifest) -> Manifest:
    manifests = [_descriptor(child.digest, OCI_IMAGE) for child in children]
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
    return Manifest(name, content, OCI_INDEX, Digest.of(content), (), tuple(child.digest for child in children))


CONFIG = b"{}"
SMALL = b"small layer"
LARGE = b"a layer of one part, longer than what is kept inline"
LONGER = bytes(range(150))
"""Of three parts."""
BLOBS = {Digest.of(body): body for body in (CONFIG, SMALL, LARGE, LONGER)}

ONE = _image("one", LARGE)
TWO = _image("two", LARGE, LONGER)
THREE = _image("three", SMALL, LONGER)
REFERRER = _image("referrer", SMALL, subject=ONE.digest)
INDEX = _index("index", ONE, THREE)
MANIFESTS = {manifest.digest: manifest for manifest in (INDEX, ONE, TWO, THREE, REFERRER)}
"""An index before its children."""
NAMES = {str(digest): manifest.name for digest, manifest in MANIFESTS.items()} | {
    str(Digest.of(body)): name
    for body, name in ((CONFIG, "config"), (SMALL, "small"), (LARGE, "large"), (LONGER, "longer"))
}
"""For traces."""
