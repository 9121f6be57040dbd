"""Which tags a policy lets go, by table: every rule, alone and with others."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from zotpy.collector import KeepTags, Policy
from zotpy.collector.retention.tag_rules import PullTimes, TagSeen, expired_tags, subject_of, told
from zotpy.core.digests import Digest
from zotpy.core.names import Tag

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)
HOUR = timedelta(hours=1)
A, B, C, D = (Tag(name) for name in ("a", "b", "c", "d"))
HOURS_SINCE_PUSH = {A: 1, B: 10, C: 100, D: 1000}
HEX = "0123456789abcdef" * 4


def policy(*keep: KeepTags) -> Policy:
    """Return a policy for all repositories."""
    return Policy((re.compile(""),), keep_tags=keep)


def matching(*patterns: str, **rules: object) -> KeepTags:
    """Return what to keep of the tags that match."""
    return KeepTags(tuple(re.compile(pattern) for pattern in patterns), **rules)  # type: ignore[arg-type] # a table's


def expired(rules: Policy, hours_since_pull: dict[Tag, int], since: datetime | None = LONG_AGO) -> list[str]:
    """Return the tags that go of four, pushed 1, 10, 100 and 1,000 hours ago."""
    seen = [TagSeen(tag, Digest.of(tag.text.encode()), NOW - hours * HOUR) for tag, hours in HOURS_SINCE_PUSH.items()]
    times = {Digest.of(tag.text.encode()): NOW - hours * HOUR for tag, hours in hours_since_pull.items()}
    return sorted(tag.text for tag in expired_tags(rules, seen, PullTimes(times, since), NOW))


@pytest.mark.parametrize(
    ("keep", "goes"),
    [
        ([], ""),
        ([KeepTags()], ""),
        ([matching("a")], "bcd"),
        ([matching("^(a|b)$")], "cd"),
        ([matching("x", "[ab]")], "cd"),
        ([matching("a"), KeepTags()], ""),
        ([KeepTags(most_recently_pushed=1)], "bcd"),
        ([KeepTags(most_recently_pushed=9)], ""),
        ([KeepTags(pushed_within=10 * HOUR)], "bcd"),
        ([KeepTags(pushed_within=11 * HOUR)], "cd"),
        ([KeepTags(most_recently_pulled=1)], "abc"),
        ([KeepTags(most_recently_pulled=2)], "ab"),
        ([KeepTags(most_recently_pulled=3)], "b"),
        ([KeepTags(pulled_within=6 * HOUR)], "bc"),
        ([KeepTags(pulled_within=60 * HOUR)], ""),
        ([KeepTags(most_recently_pushed=2, most_recently_pulled=1)], "c"),
        ([KeepTags(most_recently_pushed=1, pulled_within=6 * HOUR)], "bc"),
        ([matching("[ab]", most_recently_pushed=1), matching("[abcd]", most_recently_pushed=1)], "bd"),
        ([matching("d", pushed_within=HOUR), KeepTags(most_recently_pushed=9)], "d"),
    ],
)
def test_tags_go_that_no_rule_keeps(keep: list[KeepTags], goes: str) -> None:
    """Where `d` was pulled 5 hours ago, `c` 50, and the others never."""
    assert "".join(expired(policy(*keep), {D: 5, C: 50})) == goes


@pytest.mark.parametrize(
    ("keep", "since", "goes"),
    [
        (KeepTags(pulled_within=60 * HOUR), NOW - 60 * HOUR, "cd"),
        (KeepTags(pulled_within=60 * HOUR), NOW - 59 * HOUR, ""),
        (KeepTags(pulled_within=60 * HOUR), None, ""),
        (KeepTags(pulled_within=60 * HOUR, pushed_within=HOUR), None, ""),
        (KeepTags(most_recently_pulled=1), NOW - timedelta(days=7), "bcd"),
        (KeepTags(most_recently_pulled=1), NOW - timedelta(days=6), ""),
        (KeepTags(pushed_within=2 * HOUR), None, "bcd"),
    ],
)
def test_nothing_goes_for_lack_of_pulls_that_nobody_noted(keep: KeepTags, since: datetime | None, goes: str) -> None:
    """A rule that asks for pulls keeps all until pulls were noted for as long as it asks."""
    assert "".join(expired(policy(keep), {}, since)) == goes


def test_the_reason_names_rules_and_place() -> None:
    """So that a person can find the line of the file that it is about."""
    keep = matching("a", most_recently_pushed=2, most_recently_pulled=3, pushed_within=HOUR, pulled_within=90 * HOUR)
    seen = [TagSeen(Tag(name), Digest.of(b""), NOW - 200 * HOUR) for name in ("a1", "a2", "a3", "a4", "b")]
    reasons = expired_tags(policy(matching("x"), keep), seen, PullTimes({}, LONG_AGO), NOW)
    assert reasons == {
        Tag("b"): "it matches no patterns of keepTags",
        Tag(
            "a1"
        ): "it is not among the 2 pushed last, not among the 3 pulled last, not pushed within 1h, neither pulled"
        " nor pushed within 90h (keepTags[1])",
    }


@pytest.mark.parametrize(
    ("tag", "subject"),
    [
        (f"sha256-{HEX}", f"sha256:{HEX}"),
        (f"sha256-{HEX}.sig", f"sha256:{HEX}"),
        (f"sha512-{HEX}{HEX[:48]}", None),
        (f"sha512-{HEX}{HEX}"[:128], None),
        (f"sha256-{HEX[1:]}", None),
        (f"sha256-{HEX}-sig", None),
        ("v1", None),
    ],
)
def test_a_tag_can_say_whose_referrer_it_names(tag: str, subject: str | None) -> None:
    """As OCI's fallback and cosign write them; all others are tags like any."""
    assert subject_of(Tag(tag)) == (None if subject is None else Digest.parse(subject))


@pytest.mark.parametrize(
    ("duration", "text"), [(timedelta(days=30), "720h"), (timedelta(minutes=90), "90m"), (timedelta(seconds=61), "61s")]
)
def test_durations_are_told_as_they_are_written(duration: timedelta, text: str) -> None:
    """In the largest unit that is exact."""
    assert told(duration) == text
