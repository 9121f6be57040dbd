"""The use cases of another registry (OCI distribution spec, end-2, end-3, end-8, end-12)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.media_types import IMAGES, INDEXES, OCI_INDEX
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.answers import BlobStream, ManifestBody, ManifestHead
from zotpy.upstream.blob_reading import BlobReader
from zotpy.upstream.errors import NotAtUpstream, UpstreamBroken
from zotpy.upstream.host import Request, UpstreamHost
from zotpy.upstream.lists import Names, Pages, TagRoom
from zotpy.upstream.login import Credentials
from zotpy.upstream.pages import media_type_of, read_descriptors
from zotpy.upstream.single_requests import open_sender

PAGE_NAMES = 1000
MOST_REFERRERS = 10_000
MOST_REFERRER_PAGES = 100
_ACCEPT = ", ".join([*sorted(INDEXES | IMAGES), "application/vnd.oci.artifact.manifest.v1+json", "*/*;q=0.1"])


class UpstreamRegistry:
    """One upstream. `open_upstream` opens it.

    If its URL has a path, that is a prefix of all repositories, and the names here do not have it. Every method raises
    `UpstreamError`.
    """

    def __init__(self, host: UpstreamHost) -> None:
        """Ask nobody yet."""
        self._host = host
        path = urlsplit(host.settings.url).path.strip("/")
        self._prefix = f"{path}/" if path else ""

    @property
    def ratelimit_remaining(self) -> int | None:
        """How many more requests the upstream answers, as it last said; `None`: it never said."""
        return self._host.ratelimit_remaining

    def with_own_places(self) -> "UpstreamRegistry":
        """Return a client with the same connections and logins, whose requests do not wait for those of this one."""
        return UpstreamRegistry(self._host.with_own_places())

    async def head_manifest(self, repo: str, reference: str) -> ManifestHead:
        """Ask which manifest a tag or digest names now. Raises `NotAtUpstream`."""
        request = self._request(repo, f"manifests/{reference}", "HEAD", _ACCEPT)
        answer, _ = await self._host.read(request, 0)
        length = answer.headers.get("content-length", "")
        return ManifestHead(
            digest=_told_digest(answer.headers.get("docker-content-digest")),
            media_type=media_type_of(answer.headers.get("content-type")),
            length=int(length) if length.isascii() and length.isdigit() else None,
        )

    async def get_manifest(self, repo: str, reference: str) -> ManifestBody:
        """Read a manifest by tag or digest.

        Raises `NotAtUpstream`, and `UpstreamBroken` if it does not have the digest of the reference or of the answer.
        """
        request = self._request(repo, f"manifests/{reference}", "GET", _ACCEPT)
        answer, content = await self._host.read(request, self._host.settings.longest_manifest_bytes)
        told = _told_digest(answer.headers.get("docker-content-digest"))
        wanted = Digest.parse(reference) if ":" in reference else told
        digest = Digest.of(content, "sha256" if wanted is None else wanted.algorithm)
        if wanted not in {None, digest}:
            msg = f"{self._host.settings.url} sends a manifest of {repo} with the digest {digest} instead of {wanted}"
            raise UpstreamBroken(msg)
        return ManifestBody(content, media_type_of(answer.headers.get("content-type")), digest)

    @asynccontextmanager
    async def blob(
        self, repo: str, digest: Digest, start: int = 0, end: int | None = None, *, waits: bool = True
    ) -> AsyncIterator[BlobStream]:
        """Read a blob from its byte `start` on, which must be below its length, to the one before `end`.

        Without `end` it is read to its last byte. Raises `NotAtUpstream`, and `UpstreamBroken` if the upstream answers
        with more than the bytes before `end`. Its bytes are not compared with the digest.
        The block holds one of the places for requests that run at once. Without `waits`, raises `trio.WouldBlock` if
        all are taken.
        """
        async with self._host.place(waits=waits):
            reader = BlobReader(self._host, self._request(repo, f"blobs/{digest}"), start, end)
            try:
                await reader.open()
                yield reader
            finally:
                await reader.close()

    def tags(self, repo: str) -> AsyncIterator[str]:
        """Iterate over the tags of a repository. Raises `NotAtUpstream`, and `UpstreamBroken` if there is no end."""
        room = TagRoom(f"the list of tags of {repo} at {self._host.settings.url}")
        return Names(self._host, self._request(repo, f"tags/list?n={PAGE_NAMES}"), "tags", room=room)

    def repositories(self) -> AsyncIterator[str]:
        """Iterate over the names of all repositories, without the prefix. Raises `NotAtUpstream`."""
        first = Request(f"/v2/_catalog?n={PAGE_NAMES}", shows_login=True)
        return Names(self._host, first, "repositories", self._without_prefix)

    def _without_prefix(self, name: str) -> str | None:
        return name.removeprefix(self._prefix) if name.startswith(self._prefix) else None

    async def referrers(self, repo: str, digest: Digest) -> list[dict[str, Any]]:
        """List the descriptors of manifests whose subject is this digest, at most `MOST_REFERRERS`.

        No more than `MOST_REFERRER_PAGES` pages are read.

        If the upstream has no referrers API, they are those of the tag that clients maintain instead of it
        (distribution spec, *Referrers Tag Schema*).
        """
        try:
            listed = await self.listed_referrers(repo, digest)
        except NotAtUpstream:
            listed = None
        return await self._tagged_referrers(repo, digest) if listed is None else listed

    async def listed_referrers(self, repo: str, digest: Digest) -> list[dict[str, Any]] | None:
        """List the same descriptors by the referrers API alone; `None`: the answer is no list.

        Raises `NotAtUpstream` also if the upstream does not have this API.
        """
        found: list[dict[str, Any]] = []
        pages = Pages(self._host, self._request(repo, f"referrers/{digest}", accept=OCI_INDEX))
        for _ in range(MOST_REFERRER_PAGES):
            page = await pages.next()
            if page is None or len(found) >= MOST_REFERRERS:
                break
            media_type, content = page
            if media_type != OCI_INDEX:
                return None
            found += read_descriptors(content, f"the list of referrers of {digest}")
        return found[:MOST_REFERRERS]

    async def _tagged_referrers(self, repo: str, digest: Digest) -> list[dict[str, Any]]:
        try:
            manifest = await self.get_manifest(repo, fallback_tag(digest))
        except NotAtUpstream:
            return []
        return read_descriptors(manifest.content, f"the list of referrers of {digest}")[:MOST_REFERRERS]

    def _request(self, repo: str, rest: str, method: str = "GET", accept: str = "*/*") -> Request:
        name = self._prefix + repo
        return Request(f"/v2/{quote(name)}/{quote(rest, safe='/:?=')}", name, {"Accept": accept}, method)


@asynccontextmanager
async def open_upstream(
    settings: UpstreamSettings, credentials: Credentials | None = None
) -> AsyncIterator[UpstreamRegistry]:
    """Open an upstream; nothing is asked yet. `credentials` are called for the login instead of the settings'.

    Raises `ValueError` for settings that cannot be used, such as a certificate that cannot be read.
    """
    async with open_sender(settings) as sender:
        yield UpstreamRegistry(UpstreamHost(sender, credentials))


def fallback_tag(subject: Digest) -> str:
    """Return the tag under which clients list referrers at registries without the API; cosign's tags begin with it."""
    return f"{subject.algorithm}-{subject.hex}"[:128]


def _told_digest(header: str | None) -> Digest | None:
    try:
        return Digest.parse(header) if header else None
    except DigestInvalid:
        return None
