"""The registry's HTTP API as the tests use it: what a pull sees, checked byte by byte."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DEADLINE_S = 120.0
TRIES, PAUSE_S = 100, 0.2


def http_client(url: str) -> httpx.Client:
    """Return a client of the registry at this base URL that takes every kind of manifest."""
    return httpx.Client(base_url=url, timeout=DEADLINE_S, headers={"Accept": ", ".join(MANIFEST_TYPES)})


class _Again(httpx.HTTPTransport):
    """Repeats a request as long as the answer is 429."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a request."""
        answer = super().handle_request(request)
        for _ in range(TRIES):
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            answer.close()
            time.sleep(PAUSE_S)
            answer = super().handle_request(request)
        return answer


def patient_client(url: str) -> httpx.Client:
    """Return a client as `http_client` does, for a registry whose deadline a busy machine may miss.

    It repeats what the registry was too late for, as real clients do.
    """
    headers = {"Accept": ", ".join(MANIFEST_TYPES)}
    return httpx.Client(base_url=url, timeout=DEADLINE_S, headers=headers, transport=_Again())


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the content's digest as the registry writes it."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def pulled_blobs(client: httpx.Client, repository: str, reference: str) -> dict[str, int]:
    """Pull a manifest with all that it names, and return the size of each by the digest of the bytes received."""
    answer = client.get(f"/v2/{repository}/manifests/{reference}").raise_for_status()
    found = {received_digest(answer, answer.headers["Docker-Content-Digest"]): len(answer.content)}
    manifest: dict[str, Any] = answer.json()
    for child in manifest.get("manifests", []):
        found |= pulled_blobs(client, repository, child["digest"])
    for blob in image_blobs(manifest):
        answer = client.get(f"/v2/{repository}/blobs/{blob['digest']}").raise_for_status()
        found[received_digest(answer, blob["digest"])] = len(answer.content)
    return found


def received_digest(answer: httpx.Response, expected: str) -> str:
    """Return the digest of the bytes received, computed with the algorithm of the expected one."""
    return digest_of(answer.content, expected.partition(":")[0])


def image_blobs(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the descriptors of the configuration and of the layers that an image manifest names."""
    if "config" in manifest:
        yield manifest["config"]
    yield from manifest.get("layers", [])


def push_blob(client: httpx.Client, repository: str, content: bytes, algorithm: str = "sha256") -> str:
    """Push a blob in one request and return its digest."""
    digest = digest_of(content, algorithm)
    client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=content).raise_for_status()
    return digest


def tags(client: httpx.Client, repository: str) -> list[str]:
    """Return all tags of a repository, following every page."""
    found: list[str] = []
    page: str | None = f"/v2/{repository}/tags/list"
    while page is not None:
        answer = client.get(page).raise_for_status()
        found += answer.json()["tags"]
        page = answer.links.get("next", {}).get("url")
    return found
