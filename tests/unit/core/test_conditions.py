"""If-Match and If-None-Match, by the tables of RFC 9110, sections 8.8.3.2 and 13.1."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.preconditions import Condition, EntityTags

HERE, OTHER = Digest.of(b"here"), Digest.of(b"other")


@pytest.mark.parametrize(
    ("header", "strongly", "weakly"),
    [
        ("*", True, True),
        (f'"{HERE}"', True, True),
        (f"{HERE}", True, True),
        (f'W/"{HERE}"', False, True),
        (f'"{OTHER}"', False, False),
        (f'"{OTHER}","{HERE}"', True, True),
        (f'\t"a,b" , ,, "{HERE}"\t', True, True),
        (f'"a" , W/"{HERE}"', False, True),
        ('"*"', True, True),
        ('""', False, False),
        ("", False, False),
        (",", False, False),
    ],
)
def test_what_is_there_is_compared(header: str, strongly: bool, weakly: bool) -> None:  # noqa: FBT001 - a table
    """A weak tag matches only in a weak comparison. Nothing matches what does not exist."""
    tags = EntityTags.parse(header)
    assert (tags.match_strongly(HERE), tags.match_weakly(HERE)) == (strongly, weakly)
    assert not tags.match_strongly(None)
    assert not tags.match_weakly(None)


@pytest.mark.parametrize(
    "header",
    [
        *("nonsense", '"open', 'W/"open', 'w/"a"', '"a" "b"', 'x"a"', "sha256:abc", "W/", "* x"),
        '"' + "a" * 60_000,
        " " * 60_000 + '"',
        '"a"' + "\t" * 60_000 + "x",
    ],
)
def test_what_is_no_list_of_tags_is_refused(header: str) -> None:
    """A tag stands in quotes; without them only a digest is understood."""
    with pytest.raises(DigestInvalid):
        EntityTags.parse(header)


@given(st.text())
def test_any_text_is_read_or_refused(header: str) -> None:
    """There is no third way."""
    with suppress(DigestInvalid):
        EntityTags.parse(header)


@pytest.mark.parametrize(
    ("condition", "of_nothing", "of_this", "of_other"),
    [
        (Condition(), True, True, True),
        (Condition.absent(), True, False, False),
        (Condition.names(HERE), False, True, False),
        (Condition(match=EntityTags.parse("*")), False, True, True),
        (Condition(none_match=EntityTags.parse(f'W/"{HERE}"')), True, False, True),
        (Condition(EntityTags.parse("*"), EntityTags.parse(f'"{HERE}"')), False, False, True),
        (Condition(EntityTags.parse("*"), EntityTags.parse("*")), False, False, False),
    ],
)
def test_a_condition_holds_or_does_not(
    condition: Condition,
    of_nothing: bool,  # noqa: FBT001 - a table
    of_this: bool,  # noqa: FBT001
    of_other: bool,  # noqa: FBT001
) -> None:
    """Both headers must allow it; what a condition can never hold of, it says beforehand."""
    assert (condition.holds(None), condition.holds(HERE), condition.holds(OTHER)) == (of_nothing, of_this, of_other)
    assert condition.may_create or not of_nothing
    assert condition.may_replace or not (of_this or of_other)
