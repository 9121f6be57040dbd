"""Where an import comes from."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.names import RepositoryName
from zotpy.upstream import BlobStream, ManifestBody, NotAtUpstream, UpstreamRefused, UpstreamRegistry
from zotpy.upstream.errors import LoginRefused

NOBODY = Digest.of(b"the subject of no manifest")


class Names(Protocol):
    """What one repository is called."""

    @property
    def source(self) -> str:
        """What the source calls it."""
        ...

    @property
    def target(self) -> RepositoryName:
        """What it is called here."""
        ...


class Source(Protocol):
    """Some repositories. Every method raises `zotpy.upstream.UpstreamError`."""

    def repositories(self) -> AsyncIterator[str]:
        """Iterate over the names of all repositories."""
        ...

    def tags(self, repo: str) -> AsyncIterator[str]:
        """Iterate over the tags of a repository."""
        ...

    async def digest_of(self, repo: str, tag: str) -> Digest | None:
        """Return the digest of what a tag names now; `None`: only the manifest itself tells."""
        ...

    async def manifest(self, repo: str, reference: str) -> ManifestBody:
        """Read a manifest by tag or digest."""
        ...

    def blob(self, repo: str, digest: Digest) -> AbstractAsyncContextManager[BlobStream]:
        """Read a blob."""
        ...

    async def referrers(self, repo: str, digest: Digest) -> Sequence[Digest]:
        """Return the manifests whose subject this is, without those that a tag leads to."""
        ...


class RegistrySource:
    """Another registry."""

    def __init__(self, upstream: UpstreamRegistry) -> None:
        """Ask nobody yet."""
        self._upstream = upstream
        self._has_referrers: bool | None = None
        """Whether it has the referrers API; `None`: it is not known yet."""

    def repositories(self) -> AsyncIterator[str]:
        """See `Source`."""
        return self._upstream.repositories()

    def tags(self, repo: str) -> AsyncIterator[str]:
        """See `Source`."""
        return self._upstream.tags(repo)

    async def digest_of(self, repo: str, tag: str) -> Digest | None:
        """See `Source`."""
        return (await self._upstream.head_manifest(repo, tag)).digest

    async def manifest(self, repo: str, reference: str) -> ManifestBody:
        """See `Source`."""
        return await self._upstream.get_manifest(repo, reference)

    def blob(self, repo: str, digest: Digest) -> AbstractAsyncContextManager[BlobStream]:
        """See `Source`."""
        return self._upstream.blob(repo, digest)

    async def referrers(self, repo: str, digest: Digest) -> Sequence[Digest]:
        """See `Source`. Without the referrers API, clients maintain a tag: it is copied like any other."""
        if self._has_referrers is False:
            return ()
        try:
            listed = await self._upstream.listed_referrers(repo, digest)
        except LoginRefused:
            raise
        except NotAtUpstream:
            if not await self._has(repo, digest) or not await self._lists_referrers(repo):
                return ()
            raise
        self._has_referrers = listed is not None
        return digests_of([each["digest"] for each in listed or ()])

    async def _has(self, repo: str, digest: Digest) -> bool:
        """Say whether a manifest is still there."""
        try:
            await self._upstream.head_manifest(repo, str(digest))
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            return False
        return True

    async def _lists_referrers(self, repo: str) -> bool:
        """Say whether there is a referrers API, although it did not answer for one manifest."""
        if self._has_referrers is None:
            try:
                self._has_referrers = await self._upstream.listed_referrers(repo, NOBODY) is not None
            except NotAtUpstream:
                self._has_referrers = False
        return self._has_referrers


def digests_of(texts: Sequence[str]) -> Sequence[Digest]:
    """Read digests, and leave out those of algorithms that this registry does not have."""
    found = []
    for text in texts:
        try:
            found.append(Digest.parse(text))
        except DigestInvalid:
            continue
    return found
