"""Real clients that push with a login: each gets a token by itself, with a password or with a refresh token."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.pushers import ClientFailed, Pushers
from tests.integration.test_token_clients import HOUR_S, TOKENS, UPLOADS, Story, telling
from tests.unit.web.desks import ALICE, ROOT, Auth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import trio

CLIENTS = ("crane", "oras", "regctl", "skopeo", "helm", "cosign", "containerd", "jib")
REFRESHING = ("crane", "oras", "skopeo", "cosign", "containerd")
"""Those that take a refresh token from what `docker login` has kept."""
GOING_BY_TIME = ("skopeo", "podman")
"""Those that get another token once theirs has ended by its answer, and not because it is refused."""


@pytest.fixture
async def story(nursery: trio.Nursery) -> AsyncIterator[Story]:
    """Return what a replica was asked."""
    async with telling(nursery) as story:
        yield story


def pushers(story: Story, directory: Path, kept: dict[str, str], user: str, secret: str) -> Pushers:
    """Return clients that find a login where `docker login` keeps it, or in their environment."""
    host = f"127.0.0.1:{story.scene.replica.port}"
    made = Pushers(directory, host)
    (directory / "home" / ".docker" / "config.json").write_text(json.dumps({"auths": {host: kept}}))
    made.env |= {"PUSH_USER": user, "PUSH_SECRET": secret, "LC_ALL": "C.UTF-8"}
    return made


def logged_in(story: Story, directory: Path, user: Auth = ALICE) -> Pushers:
    """Return clients that a user has logged in."""
    name, password = user
    basic = base64.b64encode(b":".join([name.encode(), password])).decode()
    return pushers(story, directory, {"auth": basic}, name, password.decode())


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_pushes_with_a_password(story: Story, tmp_path: Path, client: str) -> None:
    """It gets a token with it, and sends the password to nothing else."""
    name, _ = ALICE
    made = logged_in(story, tmp_path)
    await made.prepare(client)
    failed = await made.push(client, "team/app")
    assert failed is None, (failed, story.seen)
    assert story.count("POST", UPLOADS, 202) + story.count("POST", UPLOADS, 201) >= 1
    given = story.count("GET", TOKENS, 200) + story.count("POST", TOKENS, 200)
    assert given > 0, story.seen
    wrong = base64.b64encode(f"{name}:wrong".encode()).decode()
    other = pushers(story, tmp_path / "wrong", {"auth": wrong}, name, "wrong")
    with suppress(ClientFailed):  # regctl says at once that it is refused
        await other.prepare(client)
    assert await other.push(client, "team/other") is not None


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Return a directory whose path is short enough for podman."""
    with tempfile.TemporaryDirectory(prefix="p") as made:
        yield Path(made)


@pytest.mark.parametrize("client", [*(client for client in CLIENTS if client != "regctl"), "podman"])
async def test_a_push_outlives_its_token(story: Story, short_directory: Path, client: str) -> None:
    """All tokens end when the first upload begins. The client gets another one, and begins nothing anew.

    skopeo and podman are told that each token ended long ago, as the replica's clock is an hour slow. So they get one
    before each request. regctl counts the seconds itself, from when it got a token.
    """
    if client in GOING_BY_TIME:
        story.scene.clock.now = time.time() - HOUR_S
    made = logged_in(story, short_directory)
    await made.prepare(client)
    story.until = ("POST", UPLOADS, 202)
    failed = await made.push(client, "team/app")
    assert failed is None, (failed, story.seen)
    assert story.until is None
    after = story.seen[story.ended_after :]
    assert any(route == TOKENS and status == 200 for _, route, status in after), story.seen
    assert [each for each in after if each[2] == 401 and each[1].endswith("<upload_id>")] == []


@pytest.mark.parametrize("client", [*GOING_BY_TIME, "regctl"])
async def test_a_token_that_ends_too_soon_ends_the_push(story: Story, short_directory: Path, client: str) -> None:
    """These clients do not ask for another one that replaces a token which they think good."""
    made = logged_in(story, short_directory)
    await made.prepare(client)
    story.until = ("POST", UPLOADS, 202)
    assert await made.push(client, "team/app") is not None
    assert (await made.push(client, "team/app")) is None


@pytest.mark.parametrize("client", ["podman", "containerd", "helm", "cosign", "jib"])
async def test_a_client_without_a_login_pulls_what_everybody_may_pull(
    story: Story, short_directory: Path, client: str
) -> None:
    """Some get a token without a password, others ask for the image at once. What only users may pull is refused.

    `test_token_clients` has other clients.
    """
    root = logged_in(story, short_directory / "r", ROOT)
    await root.prepare(client)
    for repo in ("public/app", "team/app"):
        assert await root.push(client, repo) is None
    host = f"127.0.0.1:{story.scene.replica.port}"
    stranger = Pushers(short_directory / "s", host)
    before = len(story.seen)
    assert await stranger.pull(client, "public/app") is None, story.seen[before:]
    assert (("GET", TOKENS, 200) in story.seen[before:]) == (client in {"podman", "cosign"})
    refused = await Pushers(short_directory / "t", host).pull(client, "team/app")
    assert refused is not None
    assert any(word in refused.printed.lower() for word in ("401", "unauthorized", "pull access denied")), (
        refused.printed
    )


@pytest.mark.parametrize("client", REFRESHING)
async def test_a_client_pushes_with_a_refresh_token(story: Story, tmp_path: Path, client: str) -> None:
    """The password is not known to it. After an hour it still pushes, since nothing has ended but short tokens."""
    refresh = str((await story.scene.grant(ALICE, offline_token="true"))["refresh_token"])
    kept = {"auth": base64.b64encode(b"alice:").decode(), "identitytoken": refresh}
    made = pushers(story, tmp_path, kept, "", refresh)
    await made.prepare(client)
    story.scene.clock.now += 3500
    failed = await made.push(client, "team/app")
    assert failed is None, (failed, story.seen)
    assert story.count("POST", TOKENS, 200) >= 1
    story.scene.clock.now += 200
    assert await made.push(client, "team/other") is not None
