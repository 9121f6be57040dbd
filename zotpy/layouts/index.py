"""`index.json`: which manifests a layout has, and which tags name them (image-layout.md, *index.json file*)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, TagInvalid
from zotpy.core.json_objects import read_object
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import Tag
from zotpy.upstream import UpstreamBroken

REF_NAME = "org.opencontainers.image.ref.name"
ONLY = "latest"
"""The tag of a layout's only image if the index names none. skopeo writes such layouts."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A manifest that the index lists."""

    digest: Digest
    media_type: str


@dataclass(frozen=True, slots=True)
class Index:
    """What the index of one layout says."""

    tags: Mapping[str, Listed] = field(default_factory=dict)
    manifests: Mapping[Digest, Listed] = field(default_factory=dict)
    """All manifests, each once."""

    def media_type_of(self, digest: Digest) -> str:
        """Return the media type of a manifest; empty if it is not listed."""
        listed = self.manifests.get(digest)
        return "" if listed is None else listed.media_type


def path_of(digest: Digest) -> str:
    """Return where content is in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def read_index(content: bytes, where: str) -> Index:
    """Read it, without the entries that describe nothing that can be stored here. Raises `UpstreamBroken`."""
    try:
        listed = read_object(content)["manifests"] or []
    except (ValueError, KeyError) as error:
        msg = f"{where} is not the index of an OCI layout"
        raise UpstreamBroken(msg) from error
    tags: dict[str, Listed] = {}
    manifests: dict[Digest, Listed] = {}
    for each in listed if isinstance(listed, list) else []:
        found = _listed(each)
        if found is None:
            continue
        manifests.setdefault(found.digest, found)
        if (tag := _tag_of(each)) is not None:
            tags[tag] = found
    if not tags and len(manifests) == 1:
        tags = {ONLY: next(iter(manifests.values()))}
    return Index(tags, manifests)


def media_type_by_fields(content: bytes) -> str:
    """Return a manifest's media type by the fields that it has, as OCI's need not name it.

    Empty: the fields do not tell.
    """
    try:
        document = read_object(content)
    except ValueError:
        return ""
    if "mediaType" in document:
        return ""
    if "manifests" in document:
        return OCI_INDEX
    return OCI_IMAGE if "config" in document and "layers" in document else ""


def _listed(value: Any) -> Listed | None:
    if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
        return None
    media_type = value.get("mediaType")
    try:
        return Listed(Digest.parse(value["digest"]), media_type if isinstance(media_type, str) else "")
    except DigestInvalid:
        return None


def _tag_of(value: dict[str, Any]) -> str | None:
    """Return the tag. It may be the end of an image's full name, such as `docker.io/library/nginx:1`."""
    annotations = value.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    if not isinstance(name, str):
        return None
    for text in (name, name.rpartition(":")[2]):
        try:
            return Tag.parse(text).text
        except TagInvalid:
            continue
    return None
