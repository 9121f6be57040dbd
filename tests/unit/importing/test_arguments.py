"""What an import is asked for: sources, logins, and a choice of repositories and tags."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from zotpy.core.companions import companion_of
from zotpy.core.errors import NameInvalid
from zotpy.importing.docker_logins import docker_file, from_docker
from zotpy.importing.places import RegistryPlace, parse_place
from zotpy.importing.selection import Selection, is_pattern

if TYPE_CHECKING:
    from pathlib import Path

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry.example", RegistryPlace("https://registry.example", "registry.example")),
        ("localhost/a", RegistryPlace("https://localhost", "localhost", "a")),
        ("http://10.0.0.1:5000/", RegistryPlace("http://10.0.0.1:5000", "10.0.0.1:5000")),
        ("old:5000/team/**", RegistryPlace("https://old:5000", "old:5000", "team/**")),
        ("https://[::1]:5000/a/b", RegistryPlace("https://[::1]:5000", "[::1]:5000", "a/b")),
        ("docker.io/library/nginx", RegistryPlace("https://registry-1.docker.io", "docker.io", "library/nginx")),
    ],
)
def test_sources(text: str, place: RegistryPlace) -> None:
    """A registry is a host, with or without a scheme, a port and a repository."""
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "team/app", "ftp://registry.example", "a b", "http://"])
def test_what_is_no_source(text: str) -> None:
    """A name without a dot may be a repository, so it is no host."""
    with pytest.raises(ValueError, match=r"not a source|no host"):
        parse_place(text)


@pytest.mark.parametrize(
    ("tag", "its_stem"),
    [
        (f"sha256-{HEX}", f"sha256-{HEX}"),
        (f"sha256-{HEX}.sig", f"sha256-{HEX}"),
        (f"sha256-{HEX}.att.more", f"sha256-{HEX}"),
        (f"sha256-{HEX}sig", None),
        ("sha256-ab", None),
        ("latest", None),
    ],
)
def test_tags_that_belong_to_an_image(tag: str, its_stem: str | None) -> None:
    """Signatures of cosign, and lists of referrers, have the digest of their image in their names."""
    assert companion_of(tag) == its_stem


def test_tags_are_chosen() -> None:
    """A tag must match one pattern as a whole, and none of those that leave it out."""
    chosen = Selection(tags=[re.compile(r"v1\..*"), re.compile("latest")], excluded=[re.compile(".*-rc")])
    assert [tag for tag in ("v1.0", "v1.0-rc", "latest", "v2.0", "xv1.0") if chosen.wants_tag("app", tag)] == [
        "v1.0",
        "latest",
    ]
    assert Selection().wants_tag("app", "anything")


def test_repositories_are_chosen() -> None:
    """A repository of the list must fit what is wanted, and nothing that is left out."""
    listed = ("team/app", "cache/lib/alpine", "cache", "web")
    everything = Selection(left_out=["cache/**", "web"])
    assert [repo for repo in listed if everything.wants(repo)] == ["team/app"]
    some = Selection(["*/**"], ["*/app"])
    assert [repo for repo in listed if some.wants(repo)] == ["cache/lib/alpine", "cache", "web"]


def test_names_here() -> None:
    """A destination goes before the name, and the result must be a name."""
    assert Selection().target("team/app").text == "team/app"
    assert Selection(destination="mirror").target("team/app").text == "mirror/team/app"
    with pytest.raises(NameInvalid):
        Selection().target("Team")


def test_patterns() -> None:
    """Only a pattern makes the source list its repositories."""
    assert [text for text in ("a/b", "a/*", "a/{b,c}", "a?", "a[bc]") if is_pattern(text)] == [
        "a/*",
        "a/{b,c}",
        "a?",
        "a[bc]",
    ]


def test_logins_of_docker(tmp_path: Path) -> None:
    """They are in base64; helpers are not asked."""
    file = tmp_path / "logins.json"
    written = b64encode(b"bob:y:z").decode()
    auths = {"a:5000": {"auth": written}, "https://index.docker.io/v1/": {"auth": written}, "b": {}, "c": {"auth": "!"}}
    file.write_text(json.dumps({"auths": auths}))
    assert from_docker(file, "a:5000") == from_docker(file, "docker.io") == ("bob", "y:z")
    assert from_docker(file, "b") is None
    assert from_docker(tmp_path / "missing", "b") is None
    with pytest.raises(ValueError, match="cannot be read"):
        from_docker(file, "c")


def test_where_docker_keeps_logins() -> None:
    """The variables of docker and of podman count."""
    assert str(docker_file({"HOME": "/home/a"})) == "/home/a/.docker/config.json"
    assert str(docker_file({"HOME": "/home/a", "DOCKER_CONFIG": "/d"})) == "/d/config.json"
    assert str(docker_file({"REGISTRY_AUTH_FILE": "/r.json"})) == "/r.json"
