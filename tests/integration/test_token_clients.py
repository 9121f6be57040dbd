"""Real clients whose token ends in the middle of a push or a pull: they get another one and go on, each by itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.blackbox.images import Layout, large_layer, small_layer, stored_blobs
from tests.blackbox.test_logins import Crane, LoggingIn, Oras, Regctl, Skopeo
from tests.unit.web.desks import ROOT, Scene, giving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

UPLOADS = "/v2/<path:name>/blobs/uploads/"
TOKENS = "/zot/auth/token"
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Return a layout of an image with several layers, tagged `image`."""
    layout = Layout(tmp_path_factory.mktemp("image") / "layout")
    layers = [small_layer(package) for package in ("httpx", "h11", "sniffio")]
    layout.tag(layout.add_image([*layers, large_layer()]), "image")
    return layout


class Story:
    """What a replica was asked, in order."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.seen: list[tuple[str, str, int]] = []
        """Method, route and status of each request."""
        self.until: tuple[str, str, int] | None = None
        """After which request all tokens of now end."""
        self.ended_after = 0
        """How many requests had ended by then."""

    async def follow(self) -> None:
        """Note each request, until cancelled."""
        async for ended in self.scene.replica.ended:
            self.seen.append((ended.method, ended.route, ended.status))
            if self.seen[-1] == self.until:
                self.until, self.scene.clock.now = None, self.scene.clock.now + HOUR_S
                self.ended_after = len(self.seen)

    def count(self, method: str, route: str, status: int) -> int:
        """Count requests that ended so."""
        return self.seen.count((method, route, status))


@asynccontextmanager
async def telling(nursery: trio.Nursery) -> AsyncIterator[Story]:
    """Run a replica, and follow what it is asked."""
    async with giving(nursery) as scene:
        story = Story(scene)
        nursery.start_soon(story.follow)
        yield story


@pytest.fixture
async def story(nursery: trio.Nursery) -> AsyncIterator[Story]:
    """Return what a replica was asked."""
    async with telling(nursery) as story:
        yield story


async def run(client: LoggingIn, words: Callable[[], tuple[str, ...]]) -> str:
    """Run a client beside the replica."""
    return await trio.to_thread.run_sync(lambda: client.client(*words()))


def as_root(client: LoggingIn) -> tuple[str, ...]:
    """Return the arguments that log in a user who may do everything."""
    return tuple("root" if word == "alice" else word for word in client.words("pässword"))


@pytest.mark.parametrize("kind", [Crane, Oras], ids=lambda kind: kind.name)
async def test_a_push_and_a_pull_outlive_their_tokens(
    story: Story, image: Layout, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The bodies of uploads are sent once, with tokens that have ended. For the rest clients get others.

    skopeo, podman and regctl go by the end that the token's answer names, and get another one before.
    """
    client = kind(tmp_path, f"127.0.0.1:{story.scene.replica.port}")
    await run(client, partial(client.words, "pässword"))
    story.until = ("POST", UPLOADS, 202)
    await run(client, partial(client.push, image.path, "team/app"))
    assert story.count("POST", UPLOADS, 202) >= 5
    assert story.until is None
    assert ("GET", TOKENS, 200) in story.seen[story.ended_after :]
    refused = [each for each in story.seen if each[2] == 401 and each[1].endswith("<upload_id>")]
    assert refused == []
    story.until = ("GET", "/v2/<path:name>/manifests/<reference>", 200)
    await run(client, partial(client.pull, "team/app", tmp_path / "pulled"))
    assert story.until is None
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


@pytest.mark.parametrize("kind", [Crane, Oras, Regctl, Skopeo], ids=lambda kind: kind.name)
async def test_a_client_without_a_login_pulls_with_an_anonymous_token(
    story: Story, image: Layout, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """It asks for a token without a password, and its user gets what everybody may pull, and nothing else."""
    registry = f"127.0.0.1:{story.scene.replica.port}"
    root, stranger = kind(tmp_path / "root", registry), kind(tmp_path / "stranger", registry)
    await run(root, partial(as_root, root))
    for repository in ("public/app", "team/app"):
        await run(root, partial(root.push, image.path, repository))
    before = story.count("GET", TOKENS, 200)
    await run(stranger, partial(stranger.pull, "public/app", tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)
    asks_first = kind is not Oras  # it asks for what it wants, and is let
    assert (story.count("GET", TOKENS, 200) > before) == asks_first
    refusal = await trio.to_thread.run_sync(
        lambda: stranger.client.refused(*stranger.pull("team/app", tmp_path / "stolen"))
    )
    assert "unauthorized" in refusal.lower() or "401" in refusal


@pytest.mark.parametrize(
    ("kind", "listing"),
    [(Crane, ("catalog",)), (Oras, ("repo", "ls", "--plain-http")), (Regctl, ("repo", "ls"))],
    ids=["crane", "oras", "regctl"],
)
async def test_a_user_lists_what_a_stranger_does_not_see(
    story: Story, tmp_path: Path, kind: type[LoggingIn], listing: tuple[str, ...]
) -> None:
    """Oras and regctl send a login only after a refusal: an answer to nobody would be a shorter list for everybody."""
    replica, registry = story.scene.replica, f"127.0.0.1:{story.scene.replica.port}"
    replica.client.auth = ROOT
    for repository in ("public/app", "team/app"):
        await replica.push_image("v1", repo=repository)
    user, stranger = kind(tmp_path / "user", registry), kind(tmp_path / "stranger", registry)
    await run(user, partial(user.words, "pässword"))
    await run(stranger, partial(without_a_login, stranger))
    assert (await run(user, lambda: (*listing, registry))).split() == ["public/app", "team/app"]
    assert (await run(stranger, lambda: (*listing, registry))).split() == ["public/app"]


def without_a_login(client: LoggingIn) -> tuple[str, ...]:
    """Return the arguments with which a client only learns that the registry has no TLS."""
    if isinstance(client, Regctl):
        client.set_plain()
    return ("version",)
