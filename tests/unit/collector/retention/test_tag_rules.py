"""Which tags a policy lets go, by table: every rule, alone and with others."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from zotpy.collector.retention.tag_rules import PullTimes, TagSeen, expired_tags, subject_of, told
from zotpy.core.digests import Digest
from zotpy.core.names import Tag
from zotpy.settings import KeepTagsSettings, PolicySettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)
HOUR = timedelta(hours=1)
HOUR_S = 3600.0
A, B, C, D = (Tag(name) for name in ("a", "b", "c", "d"))
HOURS_SINCE_PUSH = {A: 1, B: 10, C: 100, D: 1000}
HEX = "0123456789abcdef" * 4


def policy(*keep: KeepTagsSettings) -> PolicySettings:
    """Return a policy for all repositories."""
    return PolicySettings((re.compile(""),), keep_tags=keep)


def matching(*patterns: str, **rules: object) -> KeepTagsSettings:
    """Return what to keep of the tags that match."""
    return KeepTagsSettings(tuple(re.compile(pattern) for pattern in patterns), **rules)  # type: ignore[arg-type] # a table's


def expired(rules: PolicySettings, hours_since_pull: dict[Tag, int], since: datetime | None = LONG_AGO) -> list[str]:
    """Return the tags that go of four, pushed 1, 10, 100 and 1,000 hours ago."""
    seen = [TagSeen(tag, Digest.of(tag.text.encode()), NOW - hours * HOUR) for tag, hours in HOURS_SINCE_PUSH.items()]
    times = {Digest.of(tag.text.encode()): NOW - hours * HOUR for tag, hours in hours_since_pull.items()}
    return sorted(tag.text for tag in expired_tags(rules, seen, PullTimes(times, since), NOW, {}))


@pytest.mark.parametrize(
    ("keep", "goes"),
    [
        ([], ""),
        ([KeepTagsSettings()], ""),
        ([matching("a")], "bcd"),
        ([matching("^(a|b)$")], "cd"),
        ([matching("x", "[ab]")], "cd"),
        ([matching("a"), KeepTagsSettings()], ""),
        ([KeepTagsSettings(most_recently_pushed_count=1)], "bcd"),
        ([KeepTagsSettings(most_recently_pushed_count=9)], ""),
        ([KeepTagsSettings(pushed_within_s=10 * HOUR_S)], "bcd"),
        ([KeepTagsSettings(pushed_within_s=11 * HOUR_S)], "cd"),
        ([KeepTagsSettings(most_recently_pulled_count=1)], "abc"),
        ([KeepTagsSettings(most_recently_pulled_count=2)], "ab"),
        ([KeepTagsSettings(most_recently_pulled_count=3)], "b"),
        ([KeepTagsSettings(pulled_within_s=6 * HOUR_S)], "bc"),
        ([KeepTagsSettings(pulled_within_s=60 * HOUR_S)], ""),
        ([KeepTagsSettings(most_recently_pushed_count=2, most_recently_pulled_count=1)], "c"),
        ([KeepTagsSettings(most_recently_pushed_count=1, pulled_within_s=6 * HOUR_S)], "bc"),
        ([matching("[ab]", most_recently_pushed_count=1), matching("[abcd]", most_recently_pushed_count=1)], "bd"),
        ([matching("d", pushed_within_s=HOUR_S), KeepTagsSettings(most_recently_pushed_count=9)], "d"),
    ],
)
def test_tags_go_that_no_rule_keeps(keep: list[KeepTagsSettings], goes: str) -> None:
    """Where `d` was pulled 5 hours ago, `c` 50, and the others never."""
    assert "".join(expired(policy(*keep), {D: 5, C: 50})) == goes


@pytest.mark.parametrize(
    ("keep", "since", "goes"),
    [
        (KeepTagsSettings(pulled_within_s=60 * HOUR_S), NOW - 60 * HOUR, "cd"),
        (KeepTagsSettings(pulled_within_s=60 * HOUR_S), NOW - 59 * HOUR, ""),
        (KeepTagsSettings(pulled_within_s=60 * HOUR_S), None, ""),
        (KeepTagsSettings(pulled_within_s=60 * HOUR_S, pushed_within_s=HOUR_S), None, ""),
        (KeepTagsSettings(most_recently_pulled_count=1), NOW - timedelta(days=7), "bcd"),
        (KeepTagsSettings(most_recently_pulled_count=1), NOW - timedelta(days=6), ""),
        (KeepTagsSettings(pushed_within_s=2 * HOUR_S), None, "bcd"),
    ],
)
def test_nothing_goes_for_lack_of_pulls_that_nobody_noted(
    keep: KeepTagsSettings, since: datetime | None, goes: str
) -> None:
    """A rule that asks for pulls keeps all until pulls were noted for as long as it asks."""
    assert "".join(expired(policy(keep), {}, since)) == goes


def test_the_reason_names_rules_and_place() -> None:
    """With it a person can find the line of the configuration that it is about."""
    keep = matching(
        "a",
        most_recently_pushed_count=2,
        most_recently_pulled_count=3,
        pushed_within_s=HOUR_S,
        pulled_within_s=90 * HOUR_S,
    )
    seen = [TagSeen(Tag(name), Digest.of(b""), NOW - 200 * HOUR) for name in ("a1", "a2", "a3", "a4", "b")]
    reasons = expired_tags(policy(matching("x"), keep), seen, PullTimes({}, LONG_AGO), NOW, {})
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
    """It is a referrer's if OCI's fallback or cosign writes such tags. Any other tag is an ordinary one."""
    assert subject_of(Tag(tag)) == (None if subject is None else Digest.parse(subject))


@pytest.mark.parametrize(
    ("duration", "text"), [(timedelta(days=30), "720h"), (timedelta(minutes=90), "90m"), (timedelta(seconds=61), "61s")]
)
def test_durations_are_told_as_they_are_written(duration: timedelta, text: str) -> None:
    """In the largest unit that is exact."""
    assert told(duration) == text
