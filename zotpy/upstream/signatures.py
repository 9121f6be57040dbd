"""Whether an image at an upstream has a signature. Nobody asks whose: keys and certificates are not looked at."""

from typing import Any

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, ManifestInvalid
from zotpy.core.manifest_facts import parse_manifest
from zotpy.upstream.errors import NotAtUpstream, UpstreamRefused
from zotpy.upstream.registry import UpstreamRegistry, fallback_tag

MOST_READ = 20
"""How many referrers of one image are read to learn what they are."""
_TYPES = frozenset({"application/vnd.cncf.notary.signature", "application/vnd.dev.cosign.artifact.sig.v1+json"})
"""Artifact types of signatures by notation and cosign."""
_BUNDLE = "application/vnd.dev.sigstore.bundle"
"""How the artifact type of cosign's bundles begins; a version follows."""
_SAY_NOTHING = {None, "", "application/vnd.oci.empty.v1+json"}
"""What lists say whose writer looked at the config in place of the artifact type, as that of cosign 3.0 does."""


async def is_signed(upstream: UpstreamRegistry, repo: str, digest: Digest) -> bool:
    """Say whether a manifest has a tag of cosign's, or a signature among its referrers. Raises `UpstreamError`."""
    try:
        await upstream.head_manifest(repo, f"{fallback_tag(digest)}.sig")
    except UpstreamRefused:
        raise
    except NotAtUpstream:
        listed = await upstream.referrers(repo, digest)
    else:
        return True
    if any(_is_signature(each.get("artifactType")) for each in listed):
        return True
    unknown = [each for each in listed if each.get("artifactType") in _SAY_NOTHING]
    for each in unknown[:MOST_READ]:
        if _is_signature(await _type_of(upstream, repo, each)):
            return True
    return False


async def _type_of(upstream: UpstreamRegistry, repo: str, descriptor: dict[str, Any]) -> str | None:
    """Read what a referrer itself says that it is; `None`: it cannot be read."""
    try:
        body = await upstream.get_manifest(repo, str(Digest.parse(str(descriptor.get("digest")))))
        return parse_manifest(body.content, None).artifact_type
    except UpstreamRefused:
        raise
    except (NotAtUpstream, DigestInvalid, ManifestInvalid):
        return None


def _is_signature(artifact_type: object) -> bool:
    return isinstance(artifact_type, str) and (artifact_type in _TYPES or artifact_type.startswith(_BUNDLE))
