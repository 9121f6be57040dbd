"""A client of another OCI registry, over httpx: for mirrors and for imports.

It returns no manifest that has another digest than it should. It does not hash the bytes of blobs: the code that stores
them has to do that anyway.
"""

from zotpy.upstream.answers import BlobStream, ManifestBody, ManifestHead, PieceIterator
from zotpy.upstream.errors import NotAtUpstream, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamUnavailable
from zotpy.upstream.registry import UpstreamRegistry, open_upstream
from zotpy.upstream.single_requests import check_settings

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
    "check_settings",
    "open_upstream",
]
