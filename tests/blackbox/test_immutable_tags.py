"""Real clients of a user who may create and not update: a new tag is pushed, and none is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.images import Layout, small_layer, stored_blobs
from tests.blackbox.test_logins import KINDS, PASSWORD, USER, LoggingIn, address, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.cluster import Replica
    from tests.servers import Bucket

RULES = {"repositories": {"**": {"policies": [{"users": [USER], "actions": ["read", "create"]}]}}}


@pytest.fixture(scope="module")
def immutable(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica whose user may read and create."""
    yield from serving(bucket, tmp_path_factory.mktemp("immutable"), {"accessControl": RULES})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_tag_is_pushed_once(immutable: Replica, repository: str, tmp_path: Path, kind: type[LoggingIn]) -> None:
    """The second push of the tag fails, whatever the client says of it, and the tag names what was pushed first."""
    images = []
    for architecture in ("amd64", "arm64"):
        image = Layout(tmp_path / architecture)
        image.tag(image.add_image([small_layer("json")], architecture), "image")
        images.append(image)
    user = kind(tmp_path / "home", address(immutable))
    user.client(*user.words(PASSWORD))
    user.client(*user.push(images[0].path, repository))
    refusal = user.client.refused(*user.push(images[1].path, repository))
    assert "denied" in refusal.lower() or "403" in refusal, refusal
    user.client(*user.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(images[0].path)
    listed = httpx.get(f"{immutable.url}/v2/{repository}/tags/list", auth=(USER, PASSWORD), timeout=60)
    assert listed.json()["tags"] == ["v1"]
