"""Only signed images (`onlySigned`): which manifests of an upstream are mirrored. Nobody asks whose a signature is.

An image, or an index of images, needs a signature at its upstream. What belongs to an image needs none: manifests with
a subject, such as the signatures themselves, and tags of cosign's. The manifests that a signed index names need none
either, but nothing about them says so. So they are stored with the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zotpy.core.companions import companion_of
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid
from zotpy.core.manifest_facts import ManifestFacts, parse_manifest
from zotpy.core.names import Reference, Tag
from zotpy.memory.parsing import read_apart
from zotpy.mirror.upstreams import Upstream
from zotpy.upstream.answers import ManifestBody
from zotpy.upstream.errors import NotSigned
from zotpy.upstream.signatures import is_signed

MOST_PARTS = 250
"""How many manifests are stored with one signed index, with those of the indexes within it."""
DEEPEST = 4
"""How many indexes may be within each other."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A manifest that may be mirrored."""

    body: ManifestBody
    parts: Sequence[Digest] = ()
    """The manifests that are stored before it."""


async def get_admitted(reference: Reference, wanted: Reference, upstream: Upstream, name: str) -> Admitted:
    """Read the manifest `wanted`, for a client that asked for `reference`. Raises `NotSigned`, `UpstreamError`."""
    body = await upstream.manifests.get_manifest(name, str(wanted))
    if not upstream.only_signed or (isinstance(reference, Tag) and companion_of(reference.text) is not None):
        return Admitted(body)
    facts = await _facts(body)
    if facts is None or facts.subject is not None:
        return Admitted(body)  # what cannot be read is not kept anyway
    if not await is_signed(upstream.manifests, name, body.digest):
        msg = f"{upstream.url} has no signature of {body.digest}"
        raise NotSigned(msg, body.digest)
    return Admitted(body, facts.manifests[:MOST_PARTS])


async def parts_of(body: ManifestBody) -> Sequence[Digest]:
    """Return the manifests that an index names; none for an image."""
    facts = await _facts(body)
    return () if facts is None else facts.manifests[:MOST_PARTS]


async def _facts(body: ManifestBody) -> ManifestFacts | None:
    try:
        return await read_apart(len(body.content), partial(parse_manifest, body.content, body.told_type))
    except ManifestInvalid:
        return None
