"""The pages for those who come from another registry, as they are written: distribution stands for the old one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.servers.processes import accepts
from tests.blackbox.imports import Target
from tests.blackbox.others import PASSWORD, Distribution
from tests.blackbox.registry_api import http_client
from tests.blackbox.test_import import push_docker_image
from tests.docs.test_pages import run_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.servers import Bucket


class Move:
    """An old registry with a few images, and a new one."""

    def __init__(self, bucket: Bucket, prefix: str, directory: Path, user: str = "") -> None:
        self.directory = directory
        (directory / "old").mkdir()
        self.old = Distribution(directory / "old", user=user)
        self.new = Target(bucket, prefix, directory / "new")
        (directory / "srv").mkdir()

    def start(self, user: str = "") -> None:
        """Start the old registry, and push to it."""
        self.old.process.start(lambda: accepts(self.old.port))
        with http_client(self.old.url) as client:
            client.auth = (user, PASSWORD)
            for repo in ("team/app", "team/web"):
                for tag in ("v1", "latest"):
                    push_docker_image(client, repo, tag)

    def stop(self) -> None:
        """End both."""
        self.old.process.kill()
        self.new.replica.process.kill()

    def run(self, page: str, **others: str) -> str:
        """Run the commands of a page, and return what they print."""
        places: Mapping[str, str] = {
            "https://old.example": self.old.url,
            "old.example": self.old.address,
            "registry.example.com": self.new.address,
            "/etc/zotpy/config.yaml": str(self.new.replica.settings),
            "/etc/zot/config.json": str(self.new.replica.settings),
            "/srv/": f"{self.directory}/srv/",
            **others,
        }
        return run_page(page, self.directory, places)


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """Return the only user of the old registry; empty: everybody may do everything."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def move(bucket: Bucket, prefix: str, tmp_path: Path, user: str) -> Iterator[Move]:
    """Return both registries, of which the old one runs."""
    made = Move(bucket, prefix, tmp_path, user)
    try:
        made.start(user)
        yield made
    finally:
        made.stop()


def test_coming_from_distribution(move: Move) -> None:
    """Everything is there after the first command, and both registries name the same digests."""
    move.new.replica.start()
    said = move.run("docs/coming-from-distribution.md").splitlines()
    assert said[0] == "2 repositories, 4 tags copied, 0 unchanged"
    assert "1 repositories, 0 tags copied, 2 unchanged" in said
    assert "2 repositories, 2 tags copied, 0 unchanged" in said
    digests = [line for line in said if line.startswith("sha256:")]
    assert len(digests) == 2
    assert len(set(digests)) == 1
    assert said[-1] == "0 problems, 0 left"


def test_coming_from_zot(move: Move, tmp_path: Path) -> None:
    """From a registry that runs, from a directory and from a layout; and out again."""
    older = Target(move.new.bucket, f"{move.new.prefix}-older", tmp_path / "older")
    older.told(move.old.url, "--destination", "from-files")
    older.told("--to", f"zot:{tmp_path / 'zot'}", command="export")
    older.told("from-files/team/app", "--to", f"oci:{tmp_path / 'srv' / 'layout'}", command="export")
    said = move.run("docs/coming-from-zot.md", **{"/var/lib/registry": str(tmp_path / "zot")}).splitlines()
    assert any("is good" in line for line in said)
    assert said.count("2 repositories, 4 tags copied, 0 unchanged") == 2
    assert "1 repositories, 2 tags copied, 0 unchanged" in said
    assert (tmp_path / "srv" / "zot" / "team" / "layout" / "index.json").exists()
    assert (tmp_path / "srv" / "app.tar").exists()


@pytest.mark.parametrize("user", ["robot$import"], indirect=True)
def test_coming_from_harbor(move: Move, user: str) -> None:
    """The login comes from a file, and several repositories are named in one command."""
    (move.directory / "srv" / "robot").write_text(f"{PASSWORD}\n")
    logins = {move.old.address: {"username": user, "password": PASSWORD}}
    (move.directory / "srv" / "logins.json").write_text(json.dumps(logins))
    said = move.run("docs/coming-from-harbor.md").splitlines()
    assert said[0] == "1 repositories, 2 tags copied, 0 unchanged"
    assert "2 repositories, 2 tags copied, 2 unchanged" in said
    assert said.count("2 repositories, 0 tags copied, 4 unchanged") == 2
