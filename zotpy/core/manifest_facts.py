"""What a manifest says of itself: its media type, what it references, its subject (OCI image spec; Docker schema 2).

zotpy accepts a manifest of an unknown media type, as the spec asks, if it is a JSON object. It reads the references of
such a manifest from the fields that known manifests use. So it checks its content, and never collects it as garbage.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from zotpy.core.digests import Digest
from zotpy.core.documents import read_document, read_stored, require_exact_fields
from zotpy.core.errors import ManifestInvalid
from zotpy.core.manifest_references import LISTS, descriptors_of, digest_of, references_of
from zotpy.core.media_types import IMAGES, INDEXES, OCI_IMAGE
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES, bounded

_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_LONGEST_MEDIA_TYPE = 255
"""Two names of 127 characters and a slash (RFC 6838, section 4.2)."""


@dataclass(frozen=True, slots=True)
class ManifestLimits:
    """How much a pushed manifest may hold, besides its length."""

    references: int
    """Descriptors in `layers`, `blobs` and `manifests`. Each costs a store call."""
    values: int
    """JSON values. Their number decides how long parsing takes, about a microsecond each."""


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What the registry needs to know of one manifest."""

    media_type: str
    blobs: tuple[Digest, ...]
    """Blobs that must be in the repository, each once."""
    manifests: tuple[Digest, ...]
    """Child manifests that must be in the repository, each once."""
    guessed: frozenset[Digest]
    """Those of both whose media type does not say for certain what they are: a blob or a manifest will do."""
    subject: Digest | None
    artifact_type: str
    """Empty if the manifest has none."""
    annotations: dict[str, str]
    foreign: tuple[Digest, ...] = ()
    """Layers that need not be in the repository, each once: clients may get them elsewhere."""

    def descriptor(self, digest: Digest, size_bytes: int) -> dict[str, Any]:
        """Return the descriptor by which the referrers API lists this manifest (end-12)."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": str(digest), "size": size_bytes}
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.annotations:
            result["annotations"] = self.annotations
        return result

    def kept(self) -> "ManifestFacts":
        """Return the facts without what no list of referrers shows: annotations may be as long as the manifest."""
        if self.subject is None:
            return replace(self, annotations={}, artifact_type="")
        shown = bounded({"annotations": self.annotations, "artifactType": self.artifact_type}, KEPT_ANNOTATIONS_BYTES)
        return replace(self, annotations=shown.get("annotations", {}), artifact_type=shown.get("artifactType", ""))


def parse_manifest(content: bytes, content_type: str | None) -> ManifestFacts:
    """Read a manifest that is in the store, whatever rules held when it was pushed. Raises `ManifestInvalid`."""
    document = read_stored(content)
    return _facts(document, _media_type(document, content_type))


def parse_pushed(content: bytes, content_type: str | None, limits: ManifestLimits) -> ManifestFacts:
    """Read a pushed manifest; `content_type` is the request's. Raises `ManifestInvalid` saying what to correct.

    It may be called in a thread. `limits` and the length of `content` bound its cost.
    """
    document = read_document(content, limits.values)
    count = sum(len(listed) for name in LISTS if isinstance(listed := document.get(name), list))
    if count > limits.references:
        msg = (
            f"the manifest references {count} blobs and manifests, but at most {limits.references} are accepted: "
            "split it into several, and push an index of them"
        )
        raise ManifestInvalid(msg)
    media_type = _media_type(document, content_type)
    if media_type in IMAGES | INDEXES:
        _require_one_reading(document, media_type)
    try:
        return _facts(document, media_type)
    except RecursionError:
        msg = "the manifest is nested too deeply"
        raise ManifestInvalid(msg) from None


def _require_one_reading(document: dict[str, Any], media_type: str) -> None:
    """Refuse what some clients read as an image and others as an index (CVE-2021-41190), or with other fields."""
    others = {"manifests"} if media_type in IMAGES else {"config", "layers"}
    if found := sorted(others & document.keys()):
        kind = "an image" if media_type in IMAGES else "an index"
        msg = f"the manifest is {kind} by its media type, but also has {' and '.join(found)}: push two manifests"
        raise ManifestInvalid(msg)
    require_exact_fields(document, "the manifest")
    for name in ("config", "subject"):
        if isinstance(descriptor := document.get(name), dict):
            require_exact_fields(descriptor, f"the manifest's {name}")
    for name in LISTS:
        for where, descriptor in descriptors_of(document, name, strict=False):
            require_exact_fields(descriptor, f"the manifest's {where}")


def _facts(document: dict[str, Any], media_type: str) -> ManifestFacts:
    if media_type in IMAGES | INDEXES and document.get("schemaVersion") != 2:  # noqa: PLR2004 - the spec's number
        msg = 'the manifest needs "schemaVersion": 2'
        raise ManifestInvalid(msg)
    if media_type in IMAGES and not (isinstance(document.get("config"), dict) and "layers" in document):
        msg = "an image manifest needs a config and layers"
        raise ManifestInvalid(msg)
    if media_type in INDEXES and "manifests" not in document:
        msg = "an index needs manifests"
        raise ManifestInvalid(msg)
    strict = media_type in IMAGES | INDEXES
    found = references_of(document, strict=strict)
    subject = document.get("subject")
    config = document.get("config")
    artifact_type = document.get("artifactType")
    if not artifact_type and isinstance(config, dict) and media_type not in INDEXES:
        artifact_type = config.get("mediaType")  # of an image without one (distribution spec, end-12)
    annotations = document.get("annotations")
    return ManifestFacts(
        media_type=media_type,
        blobs=tuple(dict.fromkeys([*found.blobs, *found.guessed("blobs")])),
        manifests=tuple(dict.fromkeys([*found.manifests, *found.guessed("manifests")])),
        guessed=frozenset(found.guessed()),
        subject=None if subject is None else digest_of(subject, "subject"),
        artifact_type=artifact_type if isinstance(artifact_type, str) else "",
        annotations={key: str(value) for key, value in annotations.items()} if isinstance(annotations, dict) else {},
        foreign=tuple(dict.fromkeys(found.foreign)),
    )


def _schema_1() -> ManifestInvalid:
    return ManifestInvalid("Docker schema 1 manifests are not accepted: push an OCI image or Docker schema 2")


def _media_type(document: dict[str, Any], content_type: str | None) -> str:
    if document.get("schemaVersion") == 1:
        raise _schema_1()
    declared = document.get("mediaType")
    sent = (content_type or "").partition(";")[0].strip()
    if declared is not None and not isinstance(declared, str):
        msg = "the manifest's mediaType is not a string"
        raise ManifestInvalid(msg)
    media_type = sent or declared or ""
    if declared and sent and declared != sent:
        msg = f"the manifest's mediaType is {declared[:100]!r}, the Content-Type {sent[:100]!r}: send the same in both"
        raise ManifestInvalid(msg)
    if _SCHEMA_1.fullmatch(media_type):
        raise _schema_1()
    if len(media_type) > _LONGEST_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(media_type):
        msg = "the manifest has no media type: set Content-Type, for example to " + OCI_IMAGE
        raise ManifestInvalid(msg)
    return media_type
