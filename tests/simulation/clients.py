"""Clients: each has its own replica, and does what container tools do, in an order drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.contents import BLOBS, MANIFESTS, REPOS, TAGS
from tests.simulation.filling import DrawnUpstream, fetch
from tests.simulation.history import Operation
from zotpy.bucket.deletions import every_tag
from zotpy.core.errors import (
    BlobUnknown,
    ManifestBlobUnknown,
    ManifestUnknown,
    RegistryError,
    TagImmutable,
)
from zotpy.core.preconditions import Condition
from zotpy.core.ranges import Span
from zotpy.registry.pushing.manifest_push import TagLimits
from zotpy.store.interface import StoreError
from zotpy.upstream.errors import UpstreamError

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

    from tests.simulation.calls import Actor
    from tests.simulation.checks import Checks
    from tests.simulation.contents import Manifest
    from tests.simulation.scheduler import Scheduler
    from tests.simulation.themes import Theme
    from zotpy.core.digests import Digest
    from zotpy.core.names import RepositoryName, Tag
    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry

FAILED = (RegistryError, StoreError, UpstreamError, trio.TooSlowError)
"""What `zotpy.web.errors` and the mirror ask the client to try again after."""
READS = ("pull", "see blob")
NOT_FOUND = (BlobUnknown, ManifestBlobUnknown, ManifestUnknown)


def _no_tag(tags: Collection[Tag]) -> None:
    """Refuse to delete a manifest that immutable tags name, and all are."""
    if tags:
        msg = "an immutable tag names it"
        raise TagImmutable(msg)


class Body:
    """A body that comes in one piece."""

    def __init__(self, content: bytes) -> None:
        """Send `content`."""
        self._pieces = [content] if content else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the piece."""
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


@dataclass(eq=False)
class Client:
    """One client."""

    actor: Actor
    registry: Registry
    scheduler: Scheduler
    checks: Checks
    rng: random.Random
    manifests: list[Manifest]
    """The contents with which it works."""
    theme: Theme

    async def work(self, count: int) -> None:
        """Do this many things."""
        for _ in range(count):
            await self._rest()
            repo, manifest = self.rng.choice(self.theme.repos), self.rng.choice(self.manifests)
            blob = self.rng.choice(
                [blob for one in self.manifests for blob in one.blobs[self.theme.first_blob :]] or list(BLOBS)
            )
            tag = self.rng.choice(TAGS)
            tagged = tag if self.rng.random() < self.theme.tagged else None
            (thing,) = self.rng.choices(
                (
                    partial(self.push_image, repo, manifest, tagged),
                    partial(self.push_manifest, repo, manifest, tagged),
                    partial(self.delete, repo, manifest.digest),
                    partial(self.delete_tag, repo, tag),
                    partial(self.delete_blob, repo, blob),
                    partial(self.keep_blob, repo, blob),
                    partial(self.pull, repo, manifest),
                    partial(self.leave_upload, repo, blob),
                    partial(self.mirror_image, repo, manifest),
                ),
                weights=self.theme.weights,
            )
            await thing()

    async def _rest(self) -> None:
        """Do nothing for a while, and as long as the host is suspended."""
        if self.theme.rest_s:
            await trio.sleep(self.rng.uniform(0.0, self.rng.choice(self.theme.rest_s)))
            while self.actor.frozen_until_s > self.scheduler.clock.now_s:  # noqa: ASYNC110 - nothing tells when
                await trio.sleep(self.actor.frozen_until_s - self.scheduler.clock.now_s)

    async def push_image(self, repo: RepositoryName, manifest: Manifest, tag: Tag | None) -> bool:
        """Push a manifest with everything that it needs. Return whether it was acknowledged."""
        for child in manifest.children:
            await self.push_image(repo, MANIFESTS[child], None)
        for blob in manifest.blobs:
            await self.keep_blob(repo, blob)
        return await self.push_manifest(repo, manifest, tag)

    async def mirror_image(self, repo: RepositoryName, manifest: Manifest) -> None:
        """Fetch a manifest from an upstream, and some of its blobs meanwhile or later, as clients ask for them."""
        manifests = self.registry.manifests

        async def keep() -> None:
            accepted = await manifests.accept(repo, manifest.digest, manifest.content, manifest.media_type)
            await manifests.keep(accepted)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._do, Operation("mirror", repo, manifest.digest), keep)
            await self.scheduler.wait(self.theme.waits)  # perhaps not until it is stored
            for blob in manifest.blobs[self.theme.first_blob :]:
                if self.rng.random() < 0.7:
                    await self._fill(repo, blob)

    async def push_manifest(self, repo: RepositoryName, manifest: Manifest, tag: Tag | None) -> bool:
        """Push a manifest alone."""
        extra = (
            tuple(one for one in TAGS if one != tag)
            if tag is not None and self.rng.random() < self.theme.both_tags
            else ()
        )
        condition = Condition.absent() if tag is not None and self.rng.random() < 0.1 else None
        push = partial(
            self.registry.manifests.push,
            repo,
            tag or manifest.digest,
            manifest.content,
            manifest.media_type,
            extra_tags=extra,
            condition=condition,
            limits=TagLimits(TAGS if self.theme.immutable else ()),
        )
        return await self._do(Operation("push", repo, manifest.digest, tag, extra), push)

    async def keep_blob(self, repo: RepositoryName, digest: Digest) -> bool:
        """Make a blob exist as a client does: look first, or mount, or send it at once."""
        way = self.rng.choice(self.theme.ways)
        if way == "look" and await self._do(
            Operation("see blob", repo, digest), partial(self.registry.blobs.stat, repo, digest)
        ):
            return True
        if way == "mount":
            other = self.rng.choice((None, *REPOS))
            mount = partial(self.registry.mounts.mount, repo, digest, other)
            if await self._do(Operation("keep blob", repo, digest), mount):
                return True
        return await self._upload(repo, digest)

    async def delete(self, repo: RepositoryName, digest: Digest) -> bool:
        """Delete a manifest."""
        judge = _no_tag if self.checks.history.immutable else every_tag
        delete = partial(self.registry.manifests.delete, repo, digest, judge=judge)
        return await self._do(Operation("delete", repo, digest), delete, answers=False)

    async def delete_tag(self, repo: RepositoryName, tag: Tag) -> bool:
        """Delete a tag."""
        delete = partial(self.registry.manifests.delete_tag, repo, tag)
        return await self._do(Operation("delete tag", repo, None, tag), delete, answers=False)

    async def delete_blob(self, repo: RepositoryName, digest: Digest) -> bool:
        """Delete a blob, even if a manifest needs it."""
        delete = partial(self.registry.blobs.delete, repo, digest)
        return await self._do(Operation("delete blob", repo, digest), delete, answers=False)

    async def pull(self, repo: RepositoryName, manifest: Manifest) -> None:
        """Pull an image, whole if it exists."""
        if not await self._do(
            Operation("pull", repo, manifest.digest), partial(self.registry.manifests.find, repo, manifest.digest)
        ):
            return
        for blob in manifest.blobs:
            await self._do(Operation("pull", repo, blob), partial(self._read, repo, blob))

    async def leave_upload(self, repo: RepositoryName, digest: Digest) -> None:
        """Send the first half of a blob and leave."""
        body = BLOBS[digest]
        session = self.registry.uploads.begin(repo, "sha256")
        half = body[: len(body) * 2 // 3]
        await self._try(partial(self.registry.uploads.chunk, session, Body(half), None, len(half)))

    async def _read(self, repo: RepositoryName, digest: Digest) -> bytes:
        value = await self.registry.blobs.find(repo, digest)
        async with self.registry.blobs.open(value, Span(0, value.size_bytes)) as chunks:
            return b"".join([bytes(chunk) async for chunk in chunks])

    async def _upload(self, repo: RepositoryName, digest: Digest) -> bool:
        """Send a blob, at once or in two chunks. A client that got no answer asks once more."""
        body, uploads = BLOBS[digest], self.registry.uploads
        session = uploads.begin(repo, "sha256")
        if self.theme.as_docker or self.rng.random() < 0.25:
            half = body if self.theme.as_docker else body[: len(body) * 2 // 3]
            advanced: Session | None = await self._try(partial(uploads.chunk, session, Body(half), None, len(half)))
            if advanced is None:
                return False
            session, body = advanced, body[len(half) :]
            if self.rng.random() < 0.5:  # the next request comes to another replica
                uploads.recent.drop(session.key)
            await self.scheduler.wait(self.theme.waits)
        for _ in range(2):
            finish = partial(uploads.finish, session, digest, Body(body), None, len(body))
            if await self._do(Operation("keep blob", repo, digest), finish):
                return True
            body = self.rng.choice((body, b"")) if session.token.offset else body
        return False

    async def _fill(self, repo: RepositoryName, digest: Digest) -> bool:
        """Copy a blob from the upstream, unless another replica does."""
        operation = Operation("fill", repo, digest)
        upstream = DrawnUpstream(self.actor, self.scheduler, self.rng, self.theme.wrong)
        return await self._do(operation, fetch(operation, self.registry, upstream).run)

    async def _try(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Do something that no other client has to know; `None` if it fails."""
        try:
            return await call()
        except FAILED:
            return None

    async def _do(self, operation: Operation, call: Callable[[], Awaitable[Any]], *, answers: bool = True) -> bool:
        """Do one operation, and note when, and with what answer."""
        scheduler, history = self.scheduler, self.checks.history
        scheduler.steps += 1  # so it comes after what has ended, even at this very moment
        operation.began, operation.began_s = scheduler.steps, scheduler.clock.now_s
        before: Any = history.obliged(scheduler.clock.now_s)
        gone = self._gone() if operation.what in READS else set()
        history.add(operation)
        self.actor.operation = operation
        scheduler.note(self.actor.name, f"begins: {operation.what}", str(operation.digest), operation.tag or "")
        said = ""
        try:
            answer = await call()
            operation.acknowledged = answer is not None or not answers
            said = "" if operation.acknowledged else "nothing"
        except NOT_FOUND as error:
            said = repr(error)
            operation.refused = True
            self.checks.check_refusal(operation, before)
        except FAILED as error:
            said = repr(error)
        finally:
            scheduler.steps += 1
            operation.last = scheduler.steps
            operation.ended_s = scheduler.clock.now_s
            self.actor.operation = None
            scheduler.note(self.actor.name, "is told", str(operation.digest), said or operation.acknowledged)
        if operation.acknowledged:
            self.checks.check_whole()
            if (operation.repo, operation.digest) in gone & self._gone():
                self.checks.fail_stale(operation)
        return operation.acknowledged

    def _gone(self) -> set[tuple[RepositoryName, Digest | None]]:
        """Return what must not exist, as a DELETE of it was acknowledged, and nobody has begun to send it again."""
        history = self.checks.history
        return {*history.gone(), *history.gone_blobs()}
