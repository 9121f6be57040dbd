"""`onlySigned` with images that cosign has signed with a key: on demand, and by `zotpy sync`.

cosign writes signatures in two forms: as a tag, which it did at first, and today as a bundle that refers to the image.
distribution has no list of referrers, so cosign keeps that list in a tag of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.balancer import answers
from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.images import Layout, small_layer
from tests.blackbox.imports import Target
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

REPO = "team/app"
FORMS = {"tag": ("--new-bundle-format=false",), "bundle": ()}
WHAT_ENDS_THE_TAG = {"tag": ".sig", "bundle": ""}


@dataclass(frozen=True)
class World:
    """An upstream with an image that is signed and one that is not, and a registry that mirrors it."""

    upstream: Distribution
    here: Target
    crane: Client
    cosign: Client
    directory: Path

    def push(self, tag: str) -> str:
        """Push an image to the upstream, and return its digest."""
        image = Layout(self.directory / tag)
        image.tag(image.add_image([small_layer("h11")], tag), "image")
        self.crane("push", image.path, f"{self.upstream.address}/{REPO}:{tag}")
        return self.crane("digest", f"{self.upstream.address}/{REPO}:{tag}")

    def sign(self, digest: str, form: str) -> None:
        """Sign an image of the upstream, without any service."""
        self.cosign("generate-key-pair", cwd=self.directory)
        offline = ("--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes")
        key = self.directory / "cosign.key"
        self.cosign("sign", "--key", key, *FORMS[form], *offline, f"{self.upstream.address}/{REPO}@{digest}")
        written = digest.replace(":", "-") + WHAT_ENDS_THE_TAG[form]
        assert written in self.crane("ls", f"{self.upstream.address}/{REPO}").split()

    def verify(self, form: str) -> None:
        """Verify the signature at the mirror, which must have it."""
        known = ("--insecure-ignore-tlog=true", "--allow-http-registry", "--key", self.directory / "cosign.pub")
        self.cosign("verify", *FORMS[form], *known, f"{self.here.address}/hub/{REPO}:signed")

    def serve(self, **changed: object) -> None:
        """Let a replica of the mirror run."""
        self.here.replica.configure(mirrored(self.upstream.url, onlySigned=True, **changed))
        self.here.replica.process.start(lambda: answers(self.here.replica.url))


@pytest.fixture
def world(bucket: Bucket, prefix: str, crane: Client, tmp_path: Path) -> Iterator[World]:
    """Return a running upstream, and a mirror that does not run yet."""
    environment = {**isolated_environment(tmp_path / "cosign"), "COSIGN_PASSWORD": "of-the-tests"}
    with running_distribution(tmp_path / "upstream") as upstream:
        here = Target(bucket, prefix, tmp_path / "here")
        try:
            yield World(upstream, here, crane, Client("cosign", environment), tmp_path)
        finally:
            here.replica.process.kill()


@pytest.mark.parametrize("form", FORMS)
def test_on_demand(world: World, form: str) -> None:
    """A client pulls the signed image, and verifies it at the mirror. It learns why it gets no other one."""
    world.push("unsigned")
    signed = world.push("signed")
    world.sign(signed, form)
    world.serve()
    assert world.crane("digest", f"{world.here.address}/hub/{REPO}:signed") == signed
    world.crane("validate", "--remote", f"{world.here.address}/hub/{REPO}:signed")
    told = world.crane.refused("manifest", f"{world.here.address}/hub/{REPO}:unsigned")
    assert "the upstream has unsigned without a signature, and only signed images are mirrored" in told
    world.verify(form)


@pytest.mark.parametrize("form", FORMS)
def test_by_sync(world: World, form: str) -> None:
    """The signature comes along with the image."""
    world.push("unsigned")
    signed = world.push("signed")
    world.serve(onDemand=False, pollInterval="6h", content=[{"prefix": REPO, "destination": "/hub"}])
    assert world.here.told(command="sync")["tags_unsigned"] == 2
    world.sign(signed, form)
    told = world.here.told(command="sync")
    assert (told["tags_unsigned"], told["problems"]) == (1, [])
    assert "unsigned" not in world.crane("ls", f"{world.here.address}/hub/{REPO}").split()
    world.verify(form)
