"""What of a mirrored registry `zotpy sync` copies, and what of several it begins with."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from zotpy.core.digests import Digest
from zotpy.settings import MirroredContent, MirroredRegistry, MirroredTags, MirrorSettings
from zotpy.syncing.choice import MirroredChoice
from zotpy.syncing.jobs import plan
from zotpy.upstream.registry import fallback_tag

VERSIONS = MirroredTags(re.compile(r"^v"))
IMAGE, OTHER = Digest.of(b"an image"), Digest.of(b"another")
SIGNATURE, LIST = f"{fallback_tag(IMAGE)}.sig", fallback_tag(OTHER)
COMPANIONS = {SIGNATURE: fallback_tag(IMAGE), LIST: fallback_tag(OTHER)}


def choice(*content: MirroredContent, **changed: Any) -> MirroredChoice:
    """Choose by such content."""
    return MirroredChoice(MirroredRegistry(("http://x",), content, has_content=True, **changed))


def test_names_need_no_list() -> None:
    """Docker Hub has none. Beside patterns, names are copied once."""
    named = choice(MirroredContent("library/alpine", "hub"), MirroredContent("library/busybox"))
    assert (named.named, named.needs_list) == (["library/alpine", "library/busybox"], False)
    assert named.target("library/alpine").text == "hub/library/alpine"
    both = choice(MirroredContent("team/app"), MirroredContent("team/*", "there"))
    assert (both.named, both.needs_list) == (["team/app"], True)
    wanted = [name for name in ("team/app", "team/b", "other/c", "Upper") if both.wants(name)]
    assert wanted == ["team/b"]
    assert both.target("team/b").text == "there/team/b"


def test_the_first_content_that_fits_chooses_tags() -> None:
    """The tags are chosen as for the mirror on demand."""
    chosen = choice(MirroredContent("team/app", tags=VERSIONS), MirroredContent("**"))
    assert [chosen.wants_tag(repo, "latest") for repo in ("team/app", "team/b")] == [False, True]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (choice(MirroredContent()), [SIGNATURE, LIST]),
        (choice(MirroredContent(), cosign_tags=False), [LIST]),
        (choice(MirroredContent(tags=VERSIONS)), [SIGNATURE]),
        (choice(MirroredContent(), only_signed=True), [SIGNATURE]),
        (choice(MirroredContent(tags=VERSIONS), cosign_tags=False), []),
    ],
)
def test_tags_that_belong_to_images(chosen: MirroredChoice, expected: list[str]) -> None:
    """If not all tags come, then those come whose images do."""
    assert chosen.belonging("team/app", COMPANIONS, [IMAGE]) == expected


def test_registries_are_found() -> None:
    """They are named by an address or by the place in the list. Without names, those with an interval are copied."""
    first = MirroredRegistry(("https://a.example", "http://b.example:5000"), has_content=True)
    second = MirroredRegistry(("https://c.example",), has_content=True, poll_interval_s=60.0)
    third = MirroredRegistry(("https://d.example",))
    settings = MirrorSettings(registries=(first, second, third))
    assert [job.registry for job in plan(settings, [])] == [second]
    for text in ("a.example", "https://a.example/", "b.example:5000", "0"):
        assert [job.registry for job in plan(settings, [text])] == [first]
    assert [job.registry for job in plan(settings, ["0", "c.example", "1"])] == [first, second]
    for text, told in (("e.example", "a.example"), ("3", "a.example"), ("d.example", "content")):
        with pytest.raises(ValueError, match=told):
            plan(settings, [text])
    assert plan(replace(settings, enable=False), []) == []
    with pytest.raises(ValueError, match="enable"):
        plan(replace(settings, enable=False), ["0"])
