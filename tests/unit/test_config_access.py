"""`http.accessControl` in a file: what is read, what is refused, and what surprises."""

from __future__ import annotations

import itertools
import json
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.config import ConfigError, load_settings, overlaps
from zotpy.config.access import MOST_PATTERNS, read_access_control, surprises
from zotpy.config.errors import NestedProblems
from zotpy.config.overlaps import can_match_same
from zotpy.core.errors import NameInvalid
from zotpy.core.globs import pieces
from zotpy.core.names import RepositoryName
from zotpy.settings import AccessSettings, GrantSettings

if TYPE_CHECKING:
    from pathlib import Path

OF_ZOT: dict[str, Any] = {
    "groups": {"group1": {"users": ["jack", "john"]}},
    "repositories": {
        "repos2/repo": {
            "policies": [{"users": ["charlie"], "actions": ["read", "create"], "groups": ["group1"]}],
            "defaultPolicy": ["read", "create"],
        },
        "**": {"policies": [{"users": ["mallory"], "actions": ["create"]}], "defaultPolicy": ["read"]},
        "Tmp/**": {"DefaultPolicy": ["read"], "anonymousPolicy": ["read"], "policies": None},
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete", "detectManifestCollision"]},
    "metrics": {"users": ["metrics"], "anonymousPolicy": ["read"]},
}
DEFAULT = ".repositories[**].defaultPolicy"
NO_ACTION = "is no action: write read, create, update, delete or detectManifestCollision"


def problems_of(section: object) -> list[tuple[str, str]]:
    """Return the paths and problems of a section."""
    with pytest.raises(NestedProblems) as raised:
        read_access_control(section)
    return list(raised.value.problems)


def test_zots_words_are_read() -> None:
    """All of zot's words have their place, and the longest pattern comes first."""
    access = read_access_control(OF_ZOT)
    assert [rule.pattern for rule in access.rules] == ["repos2/repo", "Tmp/**", "**"]
    assert access.rules[0].policies == (
        GrantSettings(frozenset({"charlie"}), frozenset({"group1"}), frozenset({"read", "create"})),
    )
    assert access.rules[0].default == {"read", "create"}
    assert access.rules[1].anonymous == access.rules[1].default == {"read"}
    assert access.admin.users == {"admin"}
    assert access.groups == {"group1": {"jack", "john"}}
    assert access.metrics_users == {"metrics"}
    assert access.has_open_metrics
    assert read_access_control(json.dumps(OF_ZOT)) == access  # as a variable
    assert pickle.loads(pickle.dumps(access)) == access  # noqa: S301 - our own; a worker is given it so


@pytest.mark.parametrize(
    ("section", "path", "problem"),
    [
        ([], "", "write settings as names and values"),
        ({}, "", "write repositories or adminPolicy, because without them nobody may do anything"),
        ({"repository": {}}, ".repository", "there is no such setting"),
        ({"adminpolice": {}}, ".adminpolice", "there is no such setting; did you mean adminPolicy?"),
        ({"adminPolicy": {}, "ADMINPOLICY": {}}, ".adminPolicy", "occurs twice, in upper and lower case: remove one"),
        (
            {"repositories": {"**": {"defaultPolicy": ["pull"]}}},
            ".repositories[**].defaultPolicy",
            f"'pull' {NO_ACTION}",
        ),
        (
            {"repositories": {"**": {"defaultPolicy": ["Read"]}}},
            ".repositories[**].defaultPolicy",
            f"'Read' {NO_ACTION}",
        ),
        ({"**": {"defaultPolicy": ["read"]}}, ".**", "there is no such setting: patterns stand below repositories"),
        (
            {"repositories": {"${username}/**": {"defaultPolicy": ["create"]}}},
            ".repositories[${username}/**]",
            "a pattern has no variables",
        ),
        ({"adminPolicy": {"actions": ["*"]}}, ".adminPolicy.actions", f"'*' {NO_ACTION}"),
        ({"adminPolicy": {"actions": "read"}}, ".adminPolicy.actions", "write a list"),
        ({"adminPolicy": {"users": [7]}}, ".adminPolicy.users", "write a list of texts, in quotes"),
        ({"adminPolicy": {"users": [""]}}, ".adminPolicy.users", "write a list of texts, in quotes"),
        ({"repositories": {"a{b": {}}}, ".repositories[a{b]", "'a{b' is no pattern: a brace is not closed"),
        ({"repositories": {7: {}}}, ".repositories", "write each name in quotes"),
        ({"repositories": {"**": {"policies": {}}}}, ".repositories[**].policies", "write a list"),
        ({"repositories": {"**": {"policies": [7]}}}, ".repositories[**].policies[0]", "write settings as names"),
        ({"groups": {"a": ["alice"]}}, ".groups.a", "write settings as names and values"),
        ({"metrics": {"anonymousPolicy": ["create"]}}, ".metrics.anonymousPolicy", "'create' is no action: write read"),
        (
            {"repositories": {"**": {"policies": [{"conditions": [{"expression": "req.tga == 'a'"}]}]}}},
            ".repositories[**].policies[0].conditions[0].expression",
            "is not a valid expression: 1:4: undeclared reference to 'req.tga'",
        ),
        (
            {"adminPolicy": {"conditions": [{"expression": "req.tag"}]}},
            ".adminPolicy.conditions[0].expression",
            "is of the type string, and bool is needed",
        ),
        (
            {"adminPolicy": {"conditions": [{"message": "x"}]}},
            ".adminPolicy.conditions[0].expression",
            "write an expression",
        ),
        (
            {"adminPolicy": {"conditions": [{"expression": "true", "message": 1}]}},
            ".adminPolicy.conditions[0].message",
            "write the message for callers",
        ),
        ({"adminPolicy": {"conditions": [{}] * 33}}, ".adminPolicy.conditions", "has 33 expressions"),
        ({"adminPolicy": {"conditions": ["true"]}}, ".adminPolicy.conditions[0]", "write settings as names"),
        ({"repositories": {"**": {"immutableTags": "v*"}}}, ".repositories[**].immutableTags", "write a list"),
        (
            {"repositories": {"**": {"immutableTags": ["v[", "*"]}}},
            ".repositories[**].immutableTags[0]",
            "'v[' is no pattern: a bracket is not closed",
        ),
        (
            {"repositories": {"**": {"immutableTags": ["*", "!latest"]}}},
            ".repositories[**].immutableTags[1]",
            "exceptions stand below mutableTags",
        ),
        (
            {"repositories": {"**": {"immutableTags": [7]}}},
            ".repositories[**].immutableTags[0]",
            "write a pattern such as v1.*, in quotes",
        ),
        (
            {"repositories": {"**": {"immutableTags": ["v*"] * 101}}},
            ".repositories[**].immutableTags",
            "has 101 patterns: write at most 100",
        ),
        (
            {"repositories": {"**": {"mutableTags": ["latest"]}}},
            ".repositories[**].mutableTags",
            "are exceptions to immutableTags",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(section: object, path: str, problem: str) -> None:
    """Each says what to write instead."""
    ((where, why),) = problems_of(section)
    assert where == path
    assert why.startswith(problem)


def test_all_mistakes_are_named_at_once() -> None:
    """Nobody mends a file one mistake at a time."""
    section = {"repositories": {"a[": {"defaultPolicy": ["pull"]}}, "adminPolicy": {"user": []}, "groups": 7}
    assert len(problems_of(section)) == 4


ANONYMOUS_ONLY: dict[str, Any] = {
    "repositories": {"**": {"anonymousPolicy": ["read", "create"]}, "a/**": {"policies": [{"users": ["alice"]}]}},
    "metrics": {"anonymousPolicy": ["read"]},
}


@pytest.mark.parametrize(
    ("more", "needs_login"),
    [
        ({}, False),
        ({"adminPolicy": {"users": [], "actions": ["read"]}, "groups": {"a": {"users": ["alice"]}}}, False),
        ({"adminPolicy": {"groups": ["a"], "actions": ["read"]}}, True),
        ({"metrics": {"users": ["alice"]}}, True),
        ({"repositories": {"**": {"defaultPolicy": ["read"]}}}, True),
        ({"repositories": {"**": {"policies": [{"users": ["alice"], "actions": ["read"]}]}}}, True),
    ],
)
def test_rules_for_anonymous_callers_alone_need_no_login(
    tmp_path: Path,
    more: dict[str, Any],
    needs_login: bool,  # noqa: FBT001
) -> None:
    """As in zot: nobody has to say who they are if nothing is granted to users."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"http": {"accessControl": {**ANONYMOUS_ONLY, **more}}}))
    if needs_login:
        with pytest.raises(ConfigError, match=r"http\.accessControl: zotpy cannot find out who its clients are"):
            load_settings(file, {})
    else:
        assert load_settings(file, {}).http.access is not None


@pytest.mark.parametrize("auth", [{}, None, {"failDelay": 5}])
@pytest.mark.parametrize("is_ruled", [False, True])
def test_a_section_of_logins_without_one_is_told(tmp_path: Path, auth: object, is_ruled: bool) -> None:  # noqa: FBT001
    """A template may have left its content out: the registry is open then."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"http": {"auth": auth} | ({"accessControl": ANONYMOUS_ONLY} if is_ruled else {})}))
    what = "what http.accessControl grants to anonymous callers" if is_ruled else "everything"
    told = f"http.auth has no login, so everybody may do {what}: name a file of users in http.auth.htpasswd.path"
    assert told in load_settings(file, {}).warnings


def test_rules_need_a_login(tmp_path: Path) -> None:
    """Without one nobody could say who they are, so the file is refused, and its warnings are not needed."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"http": {"accessControl": OF_ZOT}}))
    with pytest.raises(ConfigError, match=r"http\.accessControl: zotpy cannot find out who its clients are") as raised:
        load_settings(file, {})
    assert len(raised.value.problems) == 1


def test_surprises_are_told() -> None:
    """A star among users is a name, and what anonymous callers have users do not have."""
    star = {"users": ["*"], "actions": ["read"]}
    section = {
        "repositories": {
            "**": {"policies": [{"users": ["alice"]}, star]},
            "open/**": {"anonymousPolicy": ["create", "read"], "defaultPolicy": ["read", "delete"]},
            "wide/**/x": {"anonymousPolicy": ["update", "create", "read"]},
            "same/*": {"anonymousPolicy": ["read"], "defaultPolicy": ["read"]},
        },
        "adminPolicy": star,
    }
    starred = 'users: ["*"] is one user whose name is *: for all users use defaultPolicy'
    callers, more = (
        "callers that have not logged in",
        "and users that no policy names may not: add it to defaultPolicy if they should",
    )
    assert set(surprises(read_access_control(section))) == {
        f"http.accessControl.repositories[**].policies: {starred}",
        f"http.accessControl.adminPolicy: {starred}",
        f"http.accessControl.repositories[open/**]: {callers} may create, {more}",
        f"http.accessControl.repositories[wide/**/x]: {callers} may read, create or update, {more}",
    }


def test_rules_that_hold_nowhere_are_told() -> None:
    """A rule that was meant to close a repository closes none if no name matches it."""
    patterns = ["Prod/**", "prod/", "/lab/**", "a..", "prod/**", "**", "{A,b}"]
    section: dict[str, object] = {"repositories": {pattern: {} for pattern in patterns}}
    told = [each for each in surprises(read_access_control(section)) if "no repository has such a name" in each]
    assert sorted(each.partition("[")[2].partition("]")[0] for each in told) == ["/lab/**", "Prod/**", "a..", "prod/"]


def test_a_pattern_that_a_variable_names_twice_is_refused() -> None:
    """JSON would keep the last one, and so drop rules without a word."""
    with pytest.raises(ValueError, match="'prod/\\*\\*' occurs twice"):
        read_access_control('{"repositories": {"prod/**": {"defaultPolicy": []}, "prod/**": {}}}')


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("a/*", "b/*", False),
        ("a/*", "*/b", True),
        ("*/*", "**/*", True),
        ("a/**/b", "a/*/**", True),
        ("dev-*", "*-dev", True),
        ("a?c", "ab*", True),
        ("[ab]/x", "[bc]/x", True),
        ("[ab]/x", "[cd]/x", False),
        ("[!a]/x", "a/***", False),
        ("{a,b}/*", "{c,d}/*", False),
        ("{a,b}/*", "{b,c}/*", True),
        ("{a*,b}c", "{d*,b}c", True),
        ("{a*,b}c", "{d*,e}c", False),
        ("a/**", "a{/b}", True),
        ("abc", "a**", True),
        ("a**", "a/b", False),  # ** is * within a segment
        ("a--*", "*--b", True),
        ("a__b", "a__?", True),
        ("*/", "a/", False),  # no name ends with a slash
        ("A*", "*A", False),  # nor has capitals
        ("a/**/**", "a/b/c/d", True),
        (r"a\*", "a*?", False),
    ],
)
def test_patterns_that_can_match_the_same_name(one: str, other: str, do: bool) -> None:  # noqa: FBT001
    """Both orders say the same."""
    assert can_match_same(one, other) is can_match_same(other, one) is do


PARTS = ["a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "{a,b/a}", "{*,b}", "{a,**}", "/**", "**/", "/**/", "-", "."]
PATTERNS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join)


def names() -> list[str]:
    """Return all names of a few characters."""
    found = []
    for length in range(1, 6):
        for signs in itertools.product("ab/-", repeat=length):
            try:
                found.append(RepositoryName.parse("".join(signs)).text)
            except NameInvalid:
                continue
    return found


NAMES = names()


@given(st.lists(PATTERNS, min_size=8, max_size=16, unique=True))
def test_no_overlap_is_missed(patterns: list[str]) -> None:
    """If some short name matches two patterns, that is known without looking at any name."""
    read = {pattern: re.compile("".join(pieces(pattern))) for pattern in patterns}
    matched = {pattern: {name for name in NAMES if each.fullmatch(name)} for pattern, each in read.items()}
    for one, other in itertools.combinations(patterns, 2):
        if matched[one] & matched[other]:
            assert can_match_same(one, other)


def test_equally_long_patterns_that_match_one_name_are_refused() -> None:
    """In zot chance decides between them. Braces make one longer, and so say which comes first."""
    ((path, problem),) = problems_of({"repositories": {"a/*": {}, "*/b": {}}})
    assert path == ".repositories[a/*]"
    assert problem.startswith("is as long as */b, and both match some name: neither comes before the other")
    told = read_access_control({"repositories": {"a/*": {}, "{*}/b": {}, "c/*": {}, "d/*": {}}})
    assert [rule.pattern for rule in told.rules] == ["{*}/b", "a/*", "c/*", "d/*"]


def test_many_patterns_are_refused() -> None:
    """Each request may have to be compared with all of them."""
    ((path, problem),) = problems_of({"repositories": {f"team{number}/**": {} for number in range(MOST_PATTERNS + 1)}})
    assert (path, problem) == (".repositories", f"has 1001 patterns: write at most {MOST_PATTERNS}, with * and {{}}")
    most = read_access_control({"repositories": {f"team{number}/**": {} for number in range(MOST_PATTERNS)}})
    assert len(most.rules) == MOST_PATTERNS


def test_no_setting_is_no_control() -> None:
    """Without the section nothing changes."""
    assert load_settings(None, {}).http.access is None
    assert AccessSettings() != read_access_control(OF_ZOT)


@pytest.mark.parametrize("pattern", ["{a,a}" * 40 + "b", "{" * 10 + "a,b}{c,d}" * 10, "{{a,b},{c,{d,e}}}" * 5])
def test_a_pattern_whose_braces_stand_for_too_many_texts_is_refused(pattern: str) -> None:
    """A name may be compared with each of them, and each pair of braces doubles their number."""
    ((path, problem),) = problems_of({"repositories": {pattern: {"defaultPolicy": ["read"]}}})
    assert path == f".repositories[{pattern}]"
    assert "texts, and at most 1000 can be compared" in problem


@pytest.mark.parametrize("pattern", ["{a,b}{c,d}/{e,f}", "{" + ",".join(map(str, range(1000))) + "}/**"])
def test_a_pattern_with_some_braces_is_read(pattern: str) -> None:
    """What people write stands for few texts."""
    assert len(read_access_control({"repositories": {pattern: {"defaultPolicy": ["read"]}}}).rules) == 1


@pytest.mark.parametrize("pattern", ["*-*-*-*x", "**/a/**/b/**/*-*", "a/*/b/*/c/*/d/*", "team/**", "{a,b*}/app-*/**"])
def test_a_pattern_with_many_stars_is_read(pattern: str) -> None:
    """However many of them could match the same characters."""
    assert len(read_access_control({"repositories": {pattern: {"defaultPolicy": ["read"]}}}).rules) == 1


def test_most_pairs_of_many_patterns_are_told_apart_by_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand patterns are half a million pairs: a start that walked through all of them would take minutes."""
    walks = 0

    def walk(*_: object) -> bool:
        nonlocal walks
        walks += 1
        return False

    monkeypatch.setattr(overlaps, "_walk", walk)
    for pattern in ("team*/app-{}", "**/app-{}", "app-{}/**", "**/{{a,b}}-{}", r"*\*{}"):
        numbered = [pattern.format(f"{number:03d}") for number in range(MOST_PATTERNS)]
        access = read_access_control({"repositories": {each: {"defaultPolicy": ["read"]} for each in numbered}})
        assert (len(access.rules), walks) == (MOST_PATTERNS, 0)


@pytest.mark.parametrize(
    ("one", "other"), [("**/b", "b"), ("a/**", "a"), ("x/**/b", "x/b"), ("[a]*b", "*?b"), ("{a,b}c", "*c")]
)
def test_ends_that_may_be_missing_are_no_difference(one: str, other: str) -> None:
    """`**/` and `/**` match nothing, too."""
    assert can_match_same(one, other)
    assert can_match_same(other, one)
