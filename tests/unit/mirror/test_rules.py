"""Names here and names at an upstream: each leads to the other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.mirror.rules import here, is_mirrored, literal_head, local_name, origins, there
from zotpy.settings import MirroredContent, MirroredRegistry, MirroredTags

COMPONENTS = st.sampled_from(["a", "b", "lib", "lib2", "docker.io", "x-y"])
NAMES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
PREFIXES = st.sampled_from(
    ["**", "*", "a", "a/**", "a/b/**", "lib/*", "lib*/**", "a/b*", "**/b", "{a,lib}/**", "a/[bx]*", "docker.io/a/*"]
)
DESTINATIONS = st.sampled_from(["", "a", "lib", "docker.io", "mirror/of"])
CONTENTS = st.builds(MirroredContent, PREFIXES, DESTINATIONS, st.booleans())


def named(text: str) -> RepositoryName:
    """Return the name."""
    return RepositoryName.parse(text)


@given(CONTENTS, NAMES)
def test_a_name_at_the_upstream_comes_back(content: MirroredContent, name: str) -> None:
    """What the upstream calls a repository leads to a name here, and that leads back to the same repository."""
    local = here(content, named(name))
    if local is not None:
        assert there(content, local) == named(name)


@given(CONTENTS, NAMES)
def test_a_name_here_comes_back(content: MirroredContent, name: str) -> None:
    """A name here that is mirrored is the name of what it is mirrored from."""
    source = there(content, named(name))
    if source is not None:
        assert here(content, source) == named(name)


@pytest.mark.parametrize(
    ("content", "upstream", "local"),
    [
        (MirroredContent("**", "docker.io"), "library/alpine", "docker.io/library/alpine"),
        (MirroredContent("library/**", "hub", strip_prefix=True), "library/alpine", "hub/alpine"),
        (MirroredContent("library/al*", strip_prefix=True), "library/alpine", "alpine"),
        (MirroredContent("team/app", "x"), "team/app", "x/team/app"),
        (MirroredContent("team/app", "x/y", strip_prefix=True), "team/app", "x/y"),
        (MirroredContent(), "a/b", "a/b"),
    ],
)
def test_the_table_of_names(content: MirroredContent, upstream: str, local: str) -> None:
    """The usual forms, in both directions."""
    assert here(content, named(upstream)) == named(local)
    assert there(content, named(local)) == named(upstream)


@pytest.mark.parametrize(
    ("content", "local"),
    [
        (MirroredContent("**", "docker.io"), "docker.io"),
        (MirroredContent("**", "docker.io"), "docker.iox/a"),
        (MirroredContent("library/**", "hub"), "hub/alpine"),
        (MirroredContent("team/app", "x", strip_prefix=True), "x/y"),
        (MirroredContent("team/app", strip_prefix=True), "team/app"),
    ],
)
def test_other_names_are_not_mirrored(content: MirroredContent, local: str) -> None:
    """A name outside the content comes from nowhere."""
    assert there(content, named(local)) is None


def test_a_repository_at_the_root_that_loses_its_name_is_not_mirrored() -> None:
    """With stripPrefix and no destination, a pattern without a star leaves nothing of the name."""
    assert here(MirroredContent("team/app", strip_prefix=True), named("team/app")) is None


def test_registries_are_asked_in_order_each_by_its_first_content() -> None:
    """Every registry that knows the name is an origin, once."""
    first = MirroredRegistry(("https://a",), (MirroredContent("lib/**"), MirroredContent("**")))
    second = MirroredRegistry(("https://b",), (MirroredContent("**", "b"),))
    third = MirroredRegistry(("https://c",))
    found = list(origins((first, second, third), named("lib/x")))
    assert [(origin.registry.urls[0], origin.name.text) for origin in found] == [
        ("https://a", "lib/x"),
        ("https://c", "lib/x"),
    ]
    assert local_name(second, named("lib/x")) == named("b/lib/x")
    assert local_name(MirroredRegistry(("https://d",), (MirroredContent("other"),)), named("lib/x")) is None


def test_tags_are_chosen_by_all_their_rules() -> None:
    """As in zot, expressions are found anywhere in a tag; a digest passes."""
    rules = MirroredTags(re.compile("^v1"), re.compile("rc"), semver=True)
    chosen = [tag for tag in ("v1.2.3", "v1", "v1.2-rc1", "v2.0.0", "v1x", "1.2.3") if is_mirrored(rules, Tag(tag))]
    assert chosen == ["v1.2.3", "v1"]
    registry = MirroredRegistry(("https://a",), (MirroredContent(tags=rules),))
    (origin,) = origins((registry,), named("a"))
    assert origin.has(Digest.of(b""))
    assert not origin.has(Tag("latest"))


def test_the_literal_head_of_a_pattern() -> None:
    """It ends before the first component with a sign of its own meaning."""
    heads = [literal_head(pattern) for pattern in ("**", "a/b", "a/b/c*", "a/{b,c}/d", "ab*")]
    assert heads == ["", "a/b", "a/b", "a", ""]
