"""Whether an image at an upstream has a signature. Nobody asks whose: keys and certificates are not looked at."""

from zotpy.core.digests import Digest
from zotpy.importing.selection import stem
from zotpy.upstream import NotAtUpstream, UpstreamRefused, UpstreamRegistry

_TYPES = frozenset({"application/vnd.cncf.notary.signature", "application/vnd.dev.cosign.artifact.sig.v1+json"})
"""Artifact types of signatures by notation and cosign."""
_BUNDLE = "application/vnd.dev.sigstore.bundle"
"""How the artifact type of cosign's bundles begins; a version follows."""


async def is_signed(upstream: UpstreamRegistry, repo: str, digest: Digest) -> bool:
    """Say whether a manifest has a tag of cosign's, or a signature among its referrers. Raises `UpstreamError`."""
    try:
        await upstream.head_manifest(repo, f"{stem(digest)}.sig")
    except UpstreamRefused:
        raise
    except NotAtUpstream:
        listed = await upstream.referrers(repo, digest)
        return any(_is_signature(each.get("artifactType")) for each in listed)
    return True


def _is_signature(artifact_type: object) -> bool:
    return isinstance(artifact_type, str) and (artifact_type in _TYPES or artifact_type.startswith(_BUNDLE))
