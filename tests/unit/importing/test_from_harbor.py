"""An import from a registry that answers as Harbor 2.15.2 did: the answers were taken from one that was built."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import open_replica
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import IMAGE_TYPE, Upstream, running
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import RepositoryName, Tag
from zotpy.importing.jobs import Job
from zotpy.importing.places import parse_place
from zotpy.importing.selection import Selection
from zotpy.importing.tally import Tally
from zotpy.store.memory_store import MemoryStore
from zotpy.upstream import UpstreamRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.s3.scripted import Seen
    from zotpy.registry.registry import Registry

RIGHTS: Mapping[str, set[str]] = {
    "robot$import": {"team", "public"},
    "robot$lister": {"team", "public", "catalog"},
    "robot$other+robot": {"other", "public"},
}
"""What each login may read: projects, and the catalog. Everybody else may read public projects."""
PASSWORD = "secret"
EMPTY = b"{}"
CONFIG = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(EMPTY)), "size": len(EMPTY)}


def manifest(**more: object) -> bytes:
    """Return an image manifest."""
    return json.dumps({"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": CONFIG, "layers": [], **more}).encode()


IMAGE = manifest()
DIGEST = Digest.of(IMAGE)
SUBJECT = {"mediaType": IMAGE_TYPE, "digest": str(DIGEST), "size": len(IMAGE)}
SIGNATURE = manifest(artifactType="application/vnd.dev.sigstore.bundle.v0.3+json", subject=SUBJECT)
COSIGN = manifest(annotations={"signed": "as cosign 2 did, without a subject"})
COSIGN_TAG = f"sha256-{DIGEST.hex}.sig"
TAGS = {"v1": IMAGE, COSIGN_TAG: COSIGN}
MANIFESTS = {str(Digest.of(content)): content for content in (IMAGE, SIGNATURE, COSIGN)}
REPOSITORIES = ("cached/lib/thing", "public/app", "team/app")


def refused(message: str, challenge: str) -> Reply:
    """Return a refusal: Harbor repeats its message."""
    body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": f"{message}: {message}"}]}).encode()
    return Reply(401, body, {"WWW-Authenticate": challenge})


@dataclass(slots=True)
class Harbor:
    """It takes a wrong login for none, and asks for tokens only those who show no login at all."""

    upstream: Upstream
    seen: list[str] = field(default_factory=list)
    """The repositories that were asked for."""

    def rights(self, seen: Seen) -> set[str]:
        """Return what a caller may read, by name and password or by a token."""
        header = seen.headers.get("authorization", "")
        for name, rights in RIGHTS.items():
            basic = b64encode(f"{name}:{PASSWORD}".encode()).decode()
            if header in {f"Basic {basic}", f"Bearer {name}"}:
                return rights
        return {"public"}

    def token(self, seen: Seen) -> Reply:
        """Give a token to everybody."""
        header = seen.headers.get("authorization", "")
        named = [name for name in RIGHTS if header.endswith(b64encode(f"{name}:{PASSWORD}".encode()).decode())]
        return Reply(200, json.dumps({"token": (named or ["nobody"])[0], "expires_in": 1800}).encode())

    def catalog(self, seen: Seen) -> Reply:
        """List repositories to those who have this right."""
        if "catalog" not in self.rights(seen):
            return refused("unauthorized to list catalog", 'Basic realm="harbor"')
        return Reply(200, json.dumps({"repositories": REPOSITORIES}).encode())

    def content(self, seen: Seen) -> Reply:
        """Answer for a repository."""
        repo, kind, reference = seen.target.partition("?")[0].removeprefix("/v2/").rsplit("/", 2)
        project = repo.partition("/")[0]
        if "authorization" not in seen.headers:
            service = f'realm="{self.upstream.url}/service/token",service="harbor-registry"'
            challenge = f'Bearer {service},scope="repository:{repo}:pull"'
            return refused("authorize header needed to send HEAD to repository", challenge)
        if project not in {"team", "public", "cached"}:
            return refused(f"project {project} not found", "")
        if project not in self.rights(seen):
            told = f"unauthorized to access repository: {repo}, action: pull"
            return refused(told, 'Basic realm="harbor"')
        self.seen.append(repo)
        if repo not in REPOSITORIES:
            return Reply(404, b'{"errors":[{"code":"NOT_FOUND","message":"repository not found"}]}')
        return self._found(kind, reference)

    def _found(self, kind: str, reference: str) -> Reply:
        if kind == "tags":
            return Reply(200, json.dumps({"tags": list(TAGS)}).encode())
        if kind == "referrers":  # also the manifest of cosign's tag
            listed = [SIGNATURE, COSIGN] if reference == str(DIGEST) else []
            found = [{"mediaType": IMAGE_TYPE, "digest": str(Digest.of(each)), "size": len(each)} for each in listed]
            return Reply(200, json.dumps({"manifests": found}).encode(), {"Content-Type": OCI_INDEX})
        if kind == "blobs":
            return Reply(200, EMPTY)
        content = TAGS.get(reference) or MANIFESTS[reference]
        digest = str(Digest.of(content))
        return Reply(200, content, {"Content-Type": IMAGE_TYPE, "Docker-Content-Digest": digest})


async def imported(
    wanted: str = "", username: str = "", password: str = PASSWORD, registry: Registry | None = None, left_out: str = ""
) -> tuple[Tally, Harbor]:
    """Import from a Harbor."""
    async with running() as upstream:
        harbor, tally = Harbor(upstream), Tally()
        upstream.scripts["/service/token"] = [harbor.token]
        upstream.scripts["/v2/_catalog"] = [harbor.catalog]
        upstream.otherwise = harbor.content
        selection = Selection([wanted] if wanted else [], [left_out] if left_out else [])
        settings = upstream.settings(username=username, password=password)
        job = Job(upstream.url, parse_place(upstream.url), selection, settings)
        try:
            await job.run(registry or await open_replica(MemoryStore()), lambda _, __: False, tally)
        except UpstreamRefused as error:
            tally.failures.append(str(error))
        return tally, harbor


@pytest.mark.parametrize("username", ["robot$import", "robot$lister"])
async def test_a_repository_of_a_private_project(username: str) -> None:
    """Its signatures come along: those with a subject, and cosign's tag. A second run copies nothing."""
    registry = await open_replica(MemoryStore())
    tally, _ = await imported("team/app", username, registry=registry)
    assert (tally.repositories, tally.tags_copied, tally.problems) == (1, 2, [])
    repo = RepositoryName.parse("team/app")
    for tag, content in TAGS.items():
        assert (await registry.manifests.stat(repo, Tag(tag))).digest == Digest.of(content)
    page = await registry.referrers.page(repo, DIGEST, None, "")
    assert [each["digest"] for each in page.descriptors] == [str(Digest.of(SIGNATURE))]
    again, _ = await imported("team/app", username, registry=registry)
    assert (again.tags_unchanged, again.manifests_copied, again.referrers_copied, again.hints) == (2, 0, 0, [])


async def test_everything_without_a_cache() -> None:
    """A pull from a proxy cache makes Harbor fetch, so a user can leave such projects out of the list."""
    tally, harbor = await imported(username="robot$lister", left_out="cached/**")
    assert (tally.repositories, tally.tags_copied, tally.problems) == (2, 4, [])
    assert set(harbor.seen) == {"public/app", "team/app"}


@pytest.mark.parametrize(
    ("username", "password"), [("", ""), ("robot$import", PASSWORD), ("robot$lister", "a wrong one")]
)
async def test_the_catalog_is_refused(username: str, password: str) -> None:
    """The message says how to do without it."""
    tally, _ = await imported("team/**", username, password)
    (failure,) = tally.failures
    assert "unauthorized to list catalog" in failure
    assert "name what to copy" in failure


@pytest.mark.parametrize(
    ("wanted", "username", "password"),
    [
        ("team/app", "", ""),
        ("team/app", "robot$import", "a wrong one"),
        ("team/app", "robot$other+robot", PASSWORD),
        ("nothing/app", "robot$import", PASSWORD),
    ],
)
async def test_a_repository_is_refused(wanted: str, username: str, password: str) -> None:
    """The hint names the reasons that Harbor does not tell apart."""
    tally, _ = await imported(wanted, username, password)
    assert len(tally.problems) == len(tally.hints) == 1
    (hint,) = tally.hints
    assert ("the names of the repositories" in hint) == bool(username)


async def test_a_wrong_password_is_not_noticed_where_none_is_needed() -> None:
    """Harbor answers as without a login."""
    tally, _ = await imported("public/app", "robot$import", "a wrong one")
    assert (tally.tags_copied, tally.problems, tally.hints) == (2, [], [])
