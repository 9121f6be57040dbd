"""Patterns of names with many stars: what they match, and that no name takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zotpy.core.globs import PatternError, pieces, read_glob

BRACES = ["{a,b}", "{*,b}", "{a*,b/**}", "{**,a}", "{**/a,b}"]
PARTS = ["a", "b", "c", "*", "*", "**", "/", "/", "?", "[ab]", "/**", "**/", *BRACES]
LONGEST_NAME = 255


@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join), st.lists(st.text("ab/c", max_size=9), max_size=20))
@example("c/**/**", ["c", "c/", "c/a"])
@example("{a*,b/**}/**", ["b", "a", "b/c"])
@example("**/*/**/", ["", "a/", "/"])
@example("a*b*/{**,a}", ["ab", "ab/a"])
@example("*a*b*/**/c*c*c", ["ab/cc", "ab/ccc", "xaxbx/ab/ccac"])
def test_no_star_changes_what_a_pattern_matches(pattern: str, names: list[str]) -> None:
    """A regular expression that tries each place for each star says the same."""
    try:
        stepwise = read_glob(pattern)
    except ValueError:
        return
    plain = re.compile(rf"\A(?:{''.join(pieces(pattern))})\Z", re.DOTALL)
    for name in names:
        assert bool(stepwise.match(name)) == bool(plain.match(name)), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 20 + "b", "a" * LONGEST_NAME),
        ("*?" * 20 + "b", "a" * LONGEST_NAME),
        ("*{a,b,aa}" * 6 + "c", "a" * LONGEST_NAME),
        ("**/a/" * 20 + "b", "a/" * (LONGEST_NAME // 2) + "a"),
        ("**/*a*a*a*a/" * 10 + "b", ("a" * 12 + "/") * 19 + "a"),
    ],
)
def test_a_name_that_nearly_matches_many_stars_takes_no_time(pattern: str, name: str) -> None:
    """If each star was tried at each place, this would not end within years."""
    assert not read_glob(pattern).match(name)
    assert read_glob(pattern[:-1] + "*").match(name)


def test_stars_beside_braces_need_slashes() -> None:
    """Where `**` is not between slashes, nothing says where its match ends."""
    with pytest.raises(PatternError, match=r"write \*\* between slashes"):
        read_glob("*-*{a,b}**")
