"""Docker's own daemon logs in, pushes and pulls, and goes on when its token ends in the middle."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.blackbox.images import large_layer
from tests.daemons import Docker
from tests.integration.test_token_clients import HOUR_S, TOKENS, UPLOADS, Story, telling
from tests.unit.web.desks import ALICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.blackbox.clients import Client

BUILT = "localhost/built:v1"
MANIFESTS = "/v2/<path:name>/manifests/<reference>"


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """Return a running daemon with an image of three layers, one of them large."""
    with tempfile.TemporaryDirectory(prefix="d", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        daemon = Docker(directory, {"max-concurrent-uploads": 1})  # a test says after which request tokens end
        context = directory / "context"
        context.mkdir()
        (context / "large").write_bytes(large_layer().content)
        (context / "one").write_text("one\n")
        (context / "two").write_text("two\n")
        (context / "Dockerfile").write_text("FROM scratch\nCOPY large /\nCOPY one /\nCOPY two /\nENV MOOD=calm\n")
        try:
            daemon.start()
            builder = daemon.client(directory / "builder")
            builder("build", "--tag", BUILT, str(context))
            builder("save", "--output", daemon.saved, BUILT)
            yield daemon
        finally:
            daemon.process.stop()


@pytest.fixture
async def story(nursery: trio.Nursery) -> AsyncIterator[Story]:
    """Return what a replica was asked."""
    async with telling(nursery) as story:
        yield story


async def run(client: Client, *words: str) -> str:
    """Run a command beside the replica."""
    return await trio.to_thread.run_sync(partial(client, *words))


async def refused(client: Client, *words: str) -> str:
    """Run a command that must fail, and return what it printed."""
    return await trio.to_thread.run_sync(partial(client.refused, *words))


def host(story: Story) -> str:
    """Return the address of the replica."""
    return f"127.0.0.1:{story.scene.replica.port}"


async def logged_in(docker: Docker, story: Story, home: Path, user: str = "alice") -> Client:
    """Return a client that has logged in."""
    client = docker.client(home)
    await run(client, "login", "--username", user, "--password", ALICE[1].decode(), host(story))
    return client


async def identity(client: Client, name: str) -> str:
    """Return the id of an image: the digest of its configuration."""
    return await run(client, "image", "inspect", "--format", "{{.Id}}", name)


async def pushed(client: Client, story: Story, repo: str) -> str:
    """Push the image to a repository, and return the name it has there."""
    reference = await named(client, story, repo)
    await run(client, "push", reference)
    return reference


async def named(client: Client, story: Story, repo: str) -> str:
    """Give the image the name that it gets in a repository."""
    reference = f"{host(story)}/{repo}:v1"
    await run(client, "tag", BUILT, reference)
    return reference


@asynccontextmanager
async def emptied(docker: Docker, client: Client) -> AsyncIterator[None]:
    """Let the daemon have no image within the block, so that a pull fetches all layers."""
    images = await run(client, "image", "ls", "--quiet")
    await run(client, "image", "rm", "--force", *set(images.split()))
    try:
        yield
    finally:
        await run(client, "load", "--input", str(docker.saved))


async def test_an_image_comes_back_and_no_password_is_sent_beside_the_token(
    docker: Docker, story: Story, tmp_path: Path
) -> None:
    """One login, a token for each command, and the image has its id again after all its layers were fetched."""
    client = await logged_in(docker, story, tmp_path)
    before = await identity(client, BUILT)
    reference = await pushed(client, story, "team/app")
    assert story.count("POST", UPLOADS, 202) == 4
    assert story.count("PUT", MANIFESTS, 201) == 1
    assert story.count("GET", TOKENS, 200) + story.count("POST", TOKENS, 200) >= 2
    async with emptied(docker, client):
        await run(client, "pull", reference)
        assert await identity(client, reference) == before
    assert story.count("GET", "/v2/<path:name>/blobs/<digest>", 200) == 4


async def test_a_second_push_of_an_image_uploads_nothing(docker: Docker, story: Story, tmp_path: Path) -> None:
    """Layers that a repository has are found, and those of another repository that the user may read are mounted."""
    client = await logged_in(docker, story, tmp_path)
    await pushed(client, story, "team/app")
    begun = story.count("POST", UPLOADS, 202)
    await pushed(client, story, "team/app")
    assert story.count("POST", UPLOADS, 202) == begun
    await pushed(client, story, "team/other")
    assert story.count("POST", UPLOADS, 201) == 3
    assert story.count("POST", UPLOADS, 202) == begun + 1  # it does not ask for its configuration elsewhere


async def test_wrong_passwords_and_rights_are_refused(docker: Docker, story: Story, tmp_path: Path) -> None:
    """The user reads which of the two it was, and nothing is written."""
    client = docker.client(tmp_path)
    words = ("login", "--username", "alice", "--password", "wrong", host(story))
    assert "unauthorized" in (await refused(client, *words)).lower()
    client = await logged_in(docker, story, tmp_path)
    reference = await named(client, story, "hidden/app")
    assert "denied" in (await refused(client, "push", reference)).lower()
    assert story.count("POST", UPLOADS, 202) == 0


@pytest.mark.parametrize("ends_at", [("POST", UPLOADS, 202), ("HEAD", MANIFESTS, 200)], ids=["push", "pull"])
async def test_a_push_and_a_pull_outlive_their_tokens(
    ends_at: tuple[str, str, int], docker: Docker, story: Story, tmp_path: Path
) -> None:
    """All tokens end with the first upload or with the manifest. The daemon gets another one, and begins nothing again.

    It goes by the end that the token's answer names, so the replica's clock is an hour slow: it gets many tokens.
    """
    story.scene.clock.now = time.time() - HOUR_S
    client = await logged_in(docker, story, tmp_path)
    story.until = ends_at
    reference = await pushed(client, story, "team/app")
    assert story.count("POST", UPLOADS, 202) == 4
    async with emptied(docker, client):
        await run(client, "pull", reference)
    assert story.until is None, story.seen
    after = story.seen[story.ended_after :]
    assert any(route == TOKENS and status == 200 for _, route, status in after)
    assert [each for each in after if each[2] == 401 and each[1].endswith("<upload_id>")] == []
    assert story.count("HEAD", MANIFESTS, 200) == 1


async def test_a_token_that_ends_too_soon_ends_the_push(docker: Docker, story: Story, tmp_path: Path) -> None:
    """The daemon does not replace a token that it thinks good. So zotpy keeps to the end that it names."""
    client = await logged_in(docker, story, tmp_path)
    reference = await named(client, story, "team/app")
    story.until = ("POST", UPLOADS, 202)
    assert "unauthorized" in await refused(client, "push", reference)
    await run(client, "push", reference)


async def test_everybody_pulls_what_is_public(docker: Docker, story: Story, tmp_path: Path) -> None:
    """Without a login the daemon gets a token all the same. It is no good for what only users may read."""
    root = await logged_in(docker, story, tmp_path / "root", "root")
    public, team = [await pushed(root, story, repo) for repo in ("public/app", "team/app")]
    stranger = docker.client(tmp_path / "stranger")
    async with emptied(docker, root):
        await run(stranger, "pull", public)
        assert "denied" in (await refused(stranger, "pull", team)).lower()


async def test_a_refresh_token_outlives_the_password(docker: Docker, story: Story, tmp_path: Path) -> None:
    """`docker login` keeps it in place of a password, and an hour later the daemon pushes with it."""
    refresh = str((await story.scene.grant(ALICE, offline_token="true"))["refresh_token"])
    client = docker.client(tmp_path)
    kept = {"auth": base64.b64encode(b"alice:").decode(), "identitytoken": refresh}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host(story): kept}}))
    story.scene.clock.now += HOUR_S - 100
    await pushed(client, story, "team/app")
    assert story.count("POST", TOKENS, 200) >= 1
    assert story.count("GET", TOKENS, 401) == 0
