"""A request that is refused before its body has arrived: the client still learns why, behind a proxy too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import IMAGE_MANIFEST
from tests.blackbox.registry_api import http_client

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.blackbox.cluster import Cluster

LARGE_BODY = bytes(24 << 20)
ATTEMPTS = 25
"""A reset that overtakes the answer shows in about one of ten attempts."""


def long_manifest(client: httpx.Client, repository: str) -> httpx.Response:
    """Push a manifest above the limit."""
    headers = {"Content-Type": IMAGE_MANIFEST}
    return client.put(f"/v2/{repository}/manifests/large", content=LARGE_BODY, headers=headers)


def blob_with_malformed_digest(client: httpx.Client, repository: str) -> httpx.Response:
    """Push a blob under something that is no digest."""
    return client.post(f"/v2/{repository}/blobs/uploads/?digest=sha256:none", content=LARGE_BODY)


def chunk_out_of_order(client: httpx.Client, repository: str) -> httpx.Response:
    """Push a chunk that does not begin where the upload ends."""
    location = client.post(f"/v2/{repository}/blobs/uploads/").headers["Location"]
    headers = {"Content-Range": f"1-{len(LARGE_BODY)}"}
    return client.patch(location, content=LARGE_BODY, headers=headers)


@pytest.mark.parametrize(
    ("push", "status", "code"),
    [
        (long_manifest, 413, "SIZE_INVALID"),
        (blob_with_malformed_digest, 400, "DIGEST_INVALID"),
        (chunk_out_of_order, 416, "BLOB_UPLOAD_INVALID"),
    ],
)
def test_refusal_of_a_large_body_reaches_the_client(
    cluster: Cluster,
    repository: str,
    push: Callable[[httpx.Client, str], httpx.Response],
    status: int,
    code: str,
) -> None:
    """The answer arrives each time, as the spec's error, although most of the body was never read."""
    for _ in range(ATTEMPTS):
        with http_client(cluster.url) as client:
            refused = push(client, repository)
        assert refused.status_code == status
        assert [error["code"] for error in refused.json()["errors"]] == [code]
