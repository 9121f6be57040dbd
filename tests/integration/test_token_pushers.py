"""Eight real clients that push with a login: each gets a token by itself, with a password or with a refresh token."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.faults.pushers import ClientFailed, Pushers
from tests.integration.test_token_clients import TOKENS, UPLOADS, Story, telling
from tests.unit.web.desks import ALICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trio

CLIENTS = ("crane", "oras", "regctl", "skopeo", "helm", "cosign", "containerd", "jib")
REFRESHING = ("crane", "oras", "skopeo", "cosign", "containerd")
"""Those that take a refresh token from what `docker login` has kept."""


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


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_pushes_with_a_password(story: Story, tmp_path: Path, client: str) -> None:
    """All but regctl get a token with it, and send the password to nothing else."""
    name, password = ALICE
    basic = base64.b64encode(b":".join([name.encode(), password])).decode()
    made = pushers(story, tmp_path, {"auth": basic}, name, password.decode())
    await made.prepare(client)
    failed = await made.push(client, "team/app")
    assert failed is None, (failed, story.seen)
    assert story.count("POST", UPLOADS, 202) + story.count("POST", UPLOADS, 201) >= 1
    given = story.count("GET", TOKENS, 200) + story.count("POST", TOKENS, 200)
    assert (given > 0) == (client != "regctl"), story.seen
    wrong = base64.b64encode(f"{name}:wrong".encode()).decode()
    other = pushers(story, tmp_path / "wrong", {"auth": wrong}, name, "wrong")
    with suppress(ClientFailed):  # regctl says at once that it is refused
        await other.prepare(client)
    assert await other.push(client, "team/other") is not None


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
