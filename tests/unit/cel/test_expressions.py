"""Expressions: what they may use, what is refused at the start, and that nothing that goes wrong is a yes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.cel.cost import cost_of
from zotpy.cel.expressions import LONGEST_EXPRESSION, MOST_COST, Environment, Failed, environment
from zotpy.cel.sizes import MOST_LEVELS, Size, size_of
from zotpy.cel.tree import Call, Constant, Fold, Name, read_tree, walk

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
CLAIMS: Mapping[str, Any] = {
    "iss": "https://ci.example.com",
    "sub": "repo:acme/app",
    "groups": ["a", "b"],
    "number": 1.0,
    "nested": {"deep": {"er": "x"}},
    "a/b": "c",
}
INPUT: Mapping[str, Any] = {"claims": CLAIMS, "req.tag": "v1", "req.time": NOW, "req.user.groups": ["ci"], "yes": True}


@pytest.fixture(scope="module")
def env() -> Environment:
    """Return an environment with a variable of each type."""
    return environment(
        ("claims", "map"), ("req.tag", "str"), ("req.time", "timestamp"), ("req.user.groups", "list"), ("yes", "bool")
    )


@pytest.mark.parametrize(
    "text",
    [
        "yes && req.tag == 'v1'",
        "req.tag.matches('^v[0-9]+$') && req.tag.startsWith('v') && !req.tag.contains('rc')",
        "req.time < timestamp('2099-12-31T23:59:59Z') && req.time.getHours() == 12 && req.time.getDayOfWeek() == 0",
        "req.time.getHours('Europe/Berlin') == 13 && req.time - duration('1h') < req.time",
        "'ci' in req.user.groups && req.user.groups.exists(g, g == 'ci') && size(req.user.groups) == 1",
        "claims.iss + '/' + claims.sub == 'https://ci.example.com/repo:acme/app'",
        "has(claims.sub) && !has(claims.email) && claims['a/b'] == 'c' && 'sub' in claims",
        "claims.?nested.?deep.?er.orValue('') == 'x' && claims.?no.?thing.orValue('') == ''",
        "claims.number == 1 && claims.number < 2.5 && claims.groups[0] == 'a'",
        "claims.groups.map(g, 'ci:' + g) == ['ci:a', 'ci:b'] && claims.groups.filter(g, g > 'a') == ['b']",
        "sets.contains(claims.groups, ['b']) && sets.intersects(['x', 'a'], claims.groups)",
        "sets.equivalent([1, 2.0], [2, 1]) && !sets.contains([1], [true]) && !sets.intersects([], claims.groups)",
        "!sets.contains([[1]], [[yes]]) && !sets.contains([{'a': 1}], [{'a': yes}])",
        "claims.sub.split('/')[1].upperAscii() == 'APP' && claims.sub.replace('repo:', '') == 'acme/app'",
        "base64.encode(b'a') == 'YQ==' && '%s-%d'.format([req.tag, 1]) == 'v1-1' && ['a', 'b'].join('.') == 'a.b'",
        "1 / 0 == 1 || true",
    ],
)
def test_an_expression_has_all_that_zot_gives_it(env: Environment, text: str) -> None:
    """The standard functions, optional values, and the extensions strings, sets and encoders."""
    assert env.compile(text, "bool").yes_or_no(INPUT) is True


@pytest.mark.parametrize(
    ("text", "wanted", "told"),
    [
        ("", "bool", "is not a valid expression: 1:1: Syntax error"),
        ("req.tag ==", "bool", "is not a valid expression: 1:11: Syntax error"),
        ("req.tga == 'v1'", "bool", "is not a valid expression: 1:4: undeclared reference to 'req.tga'"),
        ("req['tag'] == 'v1'", "bool", "undeclared reference to 'req'"),
        ("req.tag == 1", "bool", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("req.tag", "bool", "is of the type string, and bool is needed"),
        ("has(req.tag) && yes", "bool", "found no matching overload"),
        ("yes", "string", "is of the type bool, and string is needed"),
        ("claims.sub == 'a'", "list", "is of the type bool, and list is needed"),
        ("'a' " + "+ 'a'" * LONGEST_EXPRESSION, "string", "an expression may have 4096"),
        ("(" * 500 + "yes" + ")" * 500, "bool", "recursion limit"),
        ("req.tag.matches(claims.sub)", "bool", "matches a pattern that is not a string in quotes"),
        (r"req.tag.matches('\\pL{1,100}')", "bool", "matches a pattern that has more than 256 bytes, or classes of"),
        ("req.tag.matches('" + "a" * 300 + "')", "bool", "matches a pattern that has more than 256 bytes"),
        ("req.tag.matches('((a{1,10}){1,10}){1,9}')", "bool", "could hold up a replica"),
        ("req.tag.replace('a', req.tag) == ''", "bool", "could hold up a replica"),
        ("claims.a.map(x, claims.b.map(y, x + y)) == []", "bool", "could hold up a replica"),
        (
            "timestamp('2026-11-29T12:00:00Z').getHours(claims.zone) == 12",
            "bool",
            "a time zone that is no text in quotes",
        ),
        ("claims.a.all(a, a.all(b, b.all(c, c.all(d, d == 1))))", "bool", "has more than 3 nested loops"),
    ],
)
def test_what_is_wrong_is_said_at_the_start(env: Environment, text: str, wanted: str, told: str) -> None:
    """In one line, so that it fits a sentence with the place in the file."""
    with pytest.raises(ValueError, match=r".") as raised:
        env.compile(text, wanted)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "claims.email == 'a'",
        "claims.sub",
        "claims.number",
        "claims.groups",
        "claims.nested.deep.nothing.er == 1",
        "claims.groups[7] == 'a'",
        "claims.sub < 1",
        "1 / int(claims.number - 1.0) == 1",
        "timestamp(claims.sub) < req.time",
    ],
)
def test_an_error_is_no_yes(env: Environment, text: str) -> None:
    """Neither is a result of another type, which Python would take for true."""
    with pytest.raises(Failed):
        env.compile(text, "bool").yes_or_no(INPUT)


def test_a_variable_that_is_missing_is_an_error(env: Environment) -> None:
    """It is not an empty one."""
    with pytest.raises(Failed):
        env.compile("req.tag == ''", "bool").yes_or_no({})


@pytest.mark.parametrize("claims", [{"a": "\udc80"}, {"a": 1 << 70}, {"a": object()}], ids=["half", "large", "no JSON"])
def test_an_input_that_the_library_cannot_take_is_an_error(env: Environment, claims: dict[str, Any]) -> None:
    """Half a character, a number that is too large, and what is no JSON."""
    with pytest.raises(Failed):
        env.compile("claims.a == claims.b", "bool").yes_or_no({"claims": claims})


def test_texts_and_lists_are_read_as_such(env: Environment) -> None:
    """A list of anything else is an error."""
    assert env.compile("claims.sub").text_of(INPUT) == "repo:acme/app"
    assert env.compile("claims.groups").texts_of(INPUT) == ["a", "b"]
    assert env.compile("{'a': [claims.number, null]}").value_of(INPUT) == {"a": [1.0, None]}
    for text in ("claims.sub", "[claims.number]", "[claims.groups]"):
        with pytest.raises(Failed):
            env.compile(text).texts_of(INPUT)
    for text in ("claims.email", "claims.groups", "claims.number"):
        with pytest.raises(Failed):
            env.compile(text).text_of(INPUT)
    with pytest.raises(Failed):
        env.compile("claims.email").value_of(INPUT)


def test_an_input_that_takes_too_long_is_an_error(env: Environment) -> None:
    """The same expression takes a shorter one. Values that are too deep are refused as well."""
    expression = env.compile("claims.groups.all(x, x in claims.groups)", "bool")
    assert expression.yes_or_no({"claims": {"groups": ["a"] * 50}})
    with pytest.raises(Failed, match="could take too long"):
        expression.yes_or_no({"claims": {"groups": ["a"] * 2000}})
    with pytest.raises(Failed, match="could take too long"):
        env.compile("claims.groups == 'a'", "bool").yes_or_no({"claims": {"groups": "a" * 20_000}})
    deep: dict[str, Any] = {}
    for _ in range(MOST_LEVELS + 2):
        deep = {"a": deep}
    with pytest.raises(Failed, match="levels"):
        expression.yes_or_no({"claims": deep})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("claims.a == claims['b']", {"a", "b"}),
        ("has(claims.a.c) || claims.?b.hasValue() || claims[?'d'].hasValue()", {"a", "b", "d"}),
        ("req.tag == 'a'", set()),
        ("'a' in claims", None),
        ("claims[req.tag] == claims.a", None),
        ("claims.exists(name, name == 'a')", None),
        ("[1].exists(claims, claims == 1)", None),
    ],
)
def test_the_claims_that_it_reads_are_known(env: Environment, text: str, named: set[str] | None) -> None:
    """`None`: any of them may be read."""
    assert env.compile(text, "bool").fields_of("claims") == named


def test_the_tree_is_that_of_the_library(env: Environment) -> None:
    """A macro is a loop, and the value before a dot is an argument."""
    tree = env.compile("claims.a.exists(x, x.startsWith('v'))").tree
    assert isinstance(tree, Fold)
    assert tree.variables == ("x",)
    assert Call("startsWith", (Name("x"), Constant("v", 1))) in list(walk(tree))


def test_a_loop_within_a_loop_may_take_all_that_there_is(env: Environment) -> None:
    """In one of its turns: the list of that turn is copied at each step, which grows with the square of its length."""
    expression = env.compile("claims.a.exists(x, size(x.map(y, y)) == 0)", "bool")
    assert not expression.yes_or_no({"claims": {"a": [["b"] * 50]}})
    with pytest.raises(Failed, match="could take too long"):
        expression.yes_or_no({"claims": {"a": [[], ["b"] * 800]}})


def test_each_value_of_the_input_costs_something_at_each_use(env: Environment) -> None:
    """The library converts all of them anew, which takes longer than to copy their bytes."""
    texts = ("claims.a == []", "claims.a == [1] || claims.a == [2]")
    once, twice = (env.compile(text, "bool").cost({"claims": {"a": [1.0] * 500}}) for text in texts)
    assert once > 500 * 40
    assert twice > 2 * 500 * 40


@given(st.binary(max_size=100))
def test_a_tree_of_another_form_is_a_value_error(message: bytes) -> None:
    """A later release of the library may write something else."""
    try:
        read_tree(b"\x12" + bytes([len(message)]) + message)
    except ValueError:
        pass
    except RecursionError:
        pytest.fail("the tree has no end")


def test_a_longer_input_costs_no_less(env: Environment) -> None:
    """An input that passes costs no more than the bound."""
    for text in ("claims.a.map(x, x + 'a') == []", "claims.a.join(claims.b) == ''", "claims.a.exists(x, x in ['a'])"):
        expression = env.compile(text)
        costs = [cost_of(expression.tree, Size(size, 64)) for size in (0, 1, 100, 1000, 10_000)]
        assert costs == sorted(costs)
        assert expression.cost({"claims": {"a": ["a"] * 10}}) <= MOST_COST


def test_the_size_of_an_input_counts_all_its_values() -> None:
    """Bytes of texts as UTF-8 has them at most, and every value for itself."""
    assert size_of("abc") == Size(7)
    assert size_of(["a", "ä"]) == Size(4 + 5 + 8, 3)
    assert size_of({"a": [1, None, True]}) == Size(4 + 5 + 4 + 24, 6)
