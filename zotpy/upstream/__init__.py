"""A client of another OCI registry, over httpx: for mirrors and for imports.

It never hands on a manifest that does not have its digest. The bytes of a blob are not hashed here: whoever stores them
has to do that anyway.
"""

from zotpy.upstream.answers import BlobStream, ManifestBody, ManifestHead, PieceIterator
from zotpy.upstream.errors import NotAtUpstream, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamUnavailable
from zotpy.upstream.registry import UpstreamRegistry, open_upstream

__all__ = [
    "BlobStream",
    "ManifestBody",
    "ManifestHead",
    "NotAtUpstream",
    "PieceIterator",
    "UpstreamBroken",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamRegistry",
    "UpstreamUnavailable",
    "open_upstream",
]
