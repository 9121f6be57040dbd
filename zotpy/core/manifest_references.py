"""Which blobs and manifests a manifest references (OCI image spec, descriptors)."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, ManifestInvalid
from zotpy.core.keys import Kind
from zotpy.core.media_types import IMAGES, INDEXES

_NOT_DISTRIBUTED = re.compile(
    r"application/vnd\.(oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)"
)
_MANIFEST_TYPES = IMAGES | INDEXES | {"application/vnd.oci.artifact.manifest.v1+json"}
_BLOB_FIELDS = ("layers", "blobs")
LISTS = (*_BLOB_FIELDS, "manifests")
"""Fields of a manifest that are lists of descriptors."""


@dataclass(frozen=True, slots=True)
class References:
    """The digests that a manifest names, in its order, some of them more than once."""

    blobs: list[Digest] = field(default_factory=list)
    manifests: list[Digest] = field(default_factory=list)
    foreign: list[Digest] = field(default_factory=list)
    """Layers that clients may get elsewhere, by their `urls`: a registry need not have them."""
    guesses: dict[Digest, Kind] = field(default_factory=dict)
    """Children of an index whose media type is not that of a known manifest."""

    def guessed(self, kind: Kind | None = None) -> list[Digest]:
        """Return what no descriptor says for certain, of one kind or of both."""
        certain = {*self.blobs, *self.manifests}
        return [digest for digest, guess in self.guesses.items() if guess == (kind or guess) and digest not in certain]


def references_of(document: dict[str, Any], *, strict: bool) -> References:
    """Collect the digests of blobs and of child manifests. Without `strict`, it skips what is not a descriptor."""
    found = References()
    if "config" in document and (strict or _looks_like_descriptor(document["config"])):
        found.blobs.append(digest_of(document["config"], "config"))
    for name in _BLOB_FIELDS:
        for where, descriptor in descriptors_of(document, name, strict=strict):
            media_type = descriptor.get("mediaType")
            if not (isinstance(media_type, str) and _NOT_DISTRIBUTED.match(media_type)):
                found.blobs.append(digest_of(descriptor, where))
                continue
            with suppress(ManifestInvalid):  # nobody needs to understand them
                found.foreign.append(digest_of(descriptor, where))
    for where, descriptor in descriptors_of(document, "manifests", strict=strict):
        digest, media_type = digest_of(descriptor, where), descriptor.get("mediaType")
        if isinstance(media_type, str) and media_type in _MANIFEST_TYPES:
            found.manifests.append(digest)
        else:
            found.guesses.setdefault(digest, _guess(media_type))
    return found


def _guess(media_type: object) -> Kind:
    """Say what a child of an index probably is, by an unknown media type. No type at all means a manifest."""
    is_blob = isinstance(media_type, str) and not any(word in media_type for word in ("manifest", "index"))
    return "blobs" if is_blob else "manifests"


def descriptors_of(document: dict[str, Any], name: str, *, strict: bool) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the descriptors of one of `LISTS`, each with its place in the manifest, such as `layers[0]`.

    Without `strict`, it skips what is not a descriptor; with it, it raises `ManifestInvalid`.
    """
    listed = document.get(name)
    if listed is None and name not in document:
        return
    if not isinstance(listed, list):
        if strict and name in {"layers", "manifests"} and listed is not None:
            msg = f"the manifest's {name} is not a list"
            raise ManifestInvalid(msg)
        return
    for index, descriptor in enumerate(listed):
        where = f"{name}[{index}]"
        if _looks_like_descriptor(descriptor):
            yield where, descriptor
        elif strict:
            msg = f"the manifest's {where} is not a descriptor: it needs mediaType, digest and size"
            raise ManifestInvalid(msg, detail={"path": where})


def _looks_like_descriptor(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("digest"), str)


def digest_of(descriptor: object, where: str) -> Digest:
    """Return the digest of a descriptor at this place. Raises `ManifestInvalid` if it is none."""
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("digest"), str):
        msg = f"the manifest's {where} is not a descriptor: it needs mediaType, digest and size"
        raise ManifestInvalid(msg, detail={"path": where})
    size = descriptor.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        msg = f"the manifest's {where} has a size that is not a number of bytes"
        raise ManifestInvalid(msg, detail={"path": where})
    try:
        return Digest.parse(descriptor["digest"])
    except DigestInvalid as error:
        msg = f"the manifest's {where}: {error.message}"
        raise ManifestInvalid(msg, detail={"path": where}) from error
