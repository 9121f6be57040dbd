"""`storage.retention`: zot's words, read as zot reads them, and what is said of mistakes."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from zotpy.config import ConfigError, load_settings
from zotpy.config.policies import read_policies
from zotpy.core.globs import read_glob
from zotpy.settings import KeepTagsSettings, RetentionSettings

if TYPE_CHECKING:
    from pathlib import Path

OF_ZOT = """{"storage": {"retention": {
  "dryRun": false,
  "delay": "24h",
  "policies": [
    {
      "repositories": ["infra/*", "prod/*"],
      "deleteReferrers": false,
      "deleteUntagged": true,
      "KeepTags": [
        {"patterns": ["v2.*", ".*-prod"]},
        {"patterns": ["v3.*", ".*-prod"], "pulledWithin": "168h"}
      ]
    },
    {
      "repositories": ["**"],
      "deleteReferrers": true,
      "keepTags": [
        {"mostRecentlyPushedCount": 10, "mostRecentlyPulledCount": 10, "pulledWithin": "720h", "pushedWithin": "720h"}
      ]
    }
  ]
}}}"""
NO_DURATION = "'soon' is not a duration: write seconds, or numbers with h, m, s or ms, such as 10m30s"
TOO_SMALL = "1 is too small: at least 1MiB"
WEEK_S, MONTH_S = 168 * 3600.0, 720 * 3600.0


def load(tmp_path: Path, document: str) -> RetentionSettings:
    """Read a file."""
    file = tmp_path / "config.json"
    file.write_text(document)
    return load_settings(file, {}).retention


def problems_of(tmp_path: Path, policies: object) -> list[str]:
    """Return what is wrong with policies, without the path that all have in common."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, json.dumps({"storage": {"retention": {"policies": policies}}}))
    assert all(problem.startswith("storage.retention.policies") for problem in raised.value.problems)
    return [problem.removeprefix("storage.retention.policies") for problem in raised.value.problems]


def test_keep_untagged_is_read(tmp_path: Path) -> None:
    """One section with the rules of `keepTags`, except patterns; an empty one means none."""
    rules = {"pushedWithin": "168h", "mostRecentlyPulledCount": 3, "mostRecentlyPulledBytes": "1GiB"}
    policies = [{"repositories": ["a"], "keepUntagged": rules}, {"repositories": ["b"], "keepUntagged": {}}]
    found = load(tmp_path, json.dumps({"storage": {"retention": {"policies": policies}}}))
    assert found.policies[0].keep_untagged == KeepTagsSettings((), 0, 3, WEEK_S, None, 1 << 30)
    assert found.policies[1].keep_untagged is None
    assert found.needs_pulls


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"keepUntagged": {"patterns": ["a"]}}, "[0].keepUntagged.patterns: there is no such setting"),
        ({"keepUntagged": [{"pushedWithin": "1h"}]}, "[0].keepUntagged: write settings as names and values"),
        ({"keepTags": [{"mostRecentlyPulledBytes": "1"}]}, f"[0].keepTags[0].mostRecentlyPulledBytes: {TOO_SMALL}"),
        ({"keepUntagged": {"pushedWithin": "soon"}}, f"[0].keepUntagged.pushedWithin: {NO_DURATION}"),
        (
            {"keepUntagged": {"pushedWithin": "1h"}, "deleteUntagged": False},
            "[0].keepUntagged: untagged manifests stay with deleteUntagged: false: leave one of the two out",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(tmp_path: Path, policy: dict[str, object], problem: str) -> None:
    """The refusal says what to write instead."""
    assert problems_of(tmp_path, [{"repositories": ["**"], **policy}]) == [problem]


def test_policies_of_zot_are_read(tmp_path: Path) -> None:
    """Every name, whatever its case, with zot's defaults for what is not there."""
    found = load(tmp_path, OF_ZOT)
    assert (found.dry_run, found.delay_s, len(found.policies)) == (False, 86400.0, 2)
    first, second = found.policies
    assert (first.delete_referrers, first.delete_untagged) == (False, True)
    assert [pattern.pattern for pattern in first.keep_tags[0].patterns] == ["v2.*", ".*-prod"]
    assert first.keep_tags[1].pulled_within_s == WEEK_S
    assert (second.delete_referrers, second.delete_untagged) == (True, True)
    assert second.keep_tags == (KeepTagsSettings((), 10, 10, MONTH_S, MONTH_S),)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - as workers are told


def test_pulls_are_needed_where_a_rule_asks_for_them(tmp_path: Path) -> None:
    """Three of the five rules do."""
    needs = {
        "mostRecentlyPulledCount": (1, True),
        "mostRecentlyPulledBytes": ("200GiB", True),
        "pulledWithin": ("1h", True),
        "mostRecentlyPushedCount": (1, False),
        "pushedWithin": ("1h", False),
    }
    for name, (value, needed) in needs.items():
        policies = [{"repositories": ["**"], "keepTags": [{name: value}]}]
        document = json.dumps({"storage": {"retention": {"policies": policies}}})
        assert load(tmp_path, document).needs_pulls is needed
    assert not RetentionSettings().needs_pulls


@pytest.mark.parametrize(
    ("policies", "problems"),
    [
        ({}, [": write a list of sections"]),
        ("[", [": write a list of policies, as JSON"]),
        (["a"], ["[0]: write settings as names and values"]),
        ([{}], ["[0].repositories: write a list of patterns; ** matches all repositories"]),
        ([{"repositories": []}], ["[0].repositories: write a list of patterns; ** matches all repositories"]),
        ([{"repositories": "a"}], ["[0].repositories: write a list"]),
        ([{"repositories": ["a", "[b"]}], ["[0].repositories[1]: '[b' is no pattern: a bracket is not closed"]),
        (
            [{"repositories": ["a"], "keepTag": []}],
            ["[0].keepTag: there is no such setting; did you mean keepTags?"],
        ),
        (
            [{"repositories": ["a"], "keepTags": [], "KeepTags": []}],
            ["[0].keepTags: occurs twice, in upper and lower case: remove one of them"],
        ),
        ([{"repositories": ["a"], "keepTags": {}}], ["[0].keepTags: write a list of sections"]),
        (
            [{"repositories": ["a"], "deleteUntagged": 1, "deleteReferrers": "x"}],
            [
                "[0].deleteUntagged: 1 is neither true nor false",
                "[0].deleteReferrers: 'x' is neither true nor false",
            ],
        ),
        (
            [{"repositories": ["a"], "keepTags": [{}, {"pulledWithin": "soon", "mostRecentlyPushedCount": -1}]}],
            [
                f"[0].keepTags[1].pulledWithin: {NO_DURATION}",
                "[0].keepTags[1].mostRecentlyPushedCount: -1 is not a whole number from 0 to 1000000",
            ],
        ),
    ],
)
def test_each_mistake_is_told_with_its_place(tmp_path: Path, policies: Any, problems: list[str]) -> None:
    """All at once, each with its path."""
    assert problems_of(tmp_path, policies) == problems


@pytest.mark.parametrize("pattern", ["(", "[[:alpha:]]", r"\pL", r"\Qa\E", "a**", 3])
def test_expressions_that_python_does_not_read_as_go_does_are_refused(tmp_path: Path, pattern: object) -> None:
    """No pattern silently means something else than it does to zot."""
    (problem,) = problems_of(tmp_path, [{"repositories": ["a"], "keepTags": [{"patterns": [pattern]}]}])
    assert problem.startswith("[0].keepTags[0].patterns[0]: ")


def test_policies_can_be_a_variable() -> None:
    """A variable has them as JSON."""
    variable = {"ZOTPY_STORAGE_RETENTION_POLICIES": '[{"repositories": ["a"]}]'}
    assert load_settings(None, variable).retention.policies == read_policies([{"repositories": ["a"]}])


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("infra/*", ["infra/a"], ["infra", "infra/a/b", "x/infra/a"]),
        ("tmp/**", ["tmp", "tmp/a", "tmp/a/b"], ["tmpa", "x/tmp"]),
        ("**", ["a", "a/b/c"], []),
        ("**/app", ["app", "a/app", "a/b/app"], ["myapp", "a/myapp"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a/b/c"]),
        ("**/x/**", ["x", "x/a", "b/x/c"], ["y", "xx"]),
        ("a**", ["a", "abc"], ["a/b"]),
        ("{a,b/**}/c", ["a/c", "b/c", "b/x/c"], ["c", "a/x/c"]),
        ("{a,b}*", ["abc", "b"], ["c", "a/x"]),
        ("v[0-9]", ["v1"], ["va", "v", "v10"]),
        ("v[!0-9]", ["va"], ["v1", "v/"]),
        ("v?", ["v1"], ["v", "v/", "v12"]),
        ("a.b", ["a.b"], ["axb"]),
        (r"a\*", ["a*"], ["ab"]),
    ],
)
def test_repositories_match_as_in_zot(pattern: str, matching: list[str], others: list[str]) -> None:
    """A star stays within a segment, two of them are any number of segments."""
    expression = read_glob(pattern)
    assert [name for name in matching + others if expression.match(name)] == matching


@pytest.mark.parametrize("pattern", ["", "[a", "{a", "a}", "a\\", "[]", "[z-a]", "[a\\", 3, None])
def test_patterns_that_are_none_are_refused(pattern: object) -> None:
    """Each with a reason."""
    with pytest.raises(ValueError, match="pattern"):
        read_glob(pattern)
