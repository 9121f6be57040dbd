"""The table of endpoints: it finds what Quart's router would find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from tests.unit.web.serving import ABSENT, REPO, Replica, codes_of, ended
from zotpy.auth.actions import Action
from zotpy.web import operations
from zotpy.web.app import ROUTES
from zotpy.web.errors import EndpointUnknown
from zotpy.web.errors import MethodNotAllowed as RowMissing
from zotpy.web.routes import Route, RouteTable

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NAMES = ("a", REPO, "a/b/c/d", "blobs", "manifests/blobs", "a/blobs/uploads", "a/manifests/b/tags", "v2/a", "a/v2/b")
ENDS = (
    f"blobs/{ABSENT}",
    f"referrers/{ABSENT}",
    "blobs/uploads/",
    "blobs/uploads",
    "blobs/uploads/some-id_0.9=",
    "manifests/latest",
    f"manifests/{ABSENT}",
    "tags/list",
    "manifests/",
    "blobs/",
    "manifests/a/b",
    "nothing/of/ours",
)
UNUSUAL = (
    "/v2/",
    "/v2",
    "/v2/_catalog",
    "/livez",
    "//v2/a/blobs/x",
    "/v2//manifests/x",
    "/v2/a//manifests/x",
    "/v2/a/manifests//x",
    "/v2/a/manifests/x/",
    "/v2/A/manifests/x",
    "/v2/a/manifests/x y",
    "/v2/a/manifests/x\n",
    "/v2/a/manifests/\u00e9",
    "/v2/../manifests/x",
    "/v2/a/../manifests/x",
    "/v2/manifests/x",
    "/v2/blobs/uploads/",
    "/",
    "/livez/",
    "/livez//",
    "/livez\n",
    "/readyz",
    "/startupz",
    "/metrics",
    "/metrics/",
    "/v2//",
    "/v2/_catalog/",
    "/v2/a\n/manifests/x",
    "/v2/a\n/tags/list",
    "/v2/a/tags/list\n",
    "/v2/a/tags/list/",
    "/v2/a/blobs/uploads//",
    "/v2//a/manifests/x",
    "/v2/ /manifests/x",
    "/v2/a|b/manifests/x|y",
    "/v2/_catalog/tags/list",
    "/*",
    "*",
)
PATHS = (*(f"/v2/{name}/{end}" for name in NAMES for end in ENDS), *UNUSUAL)


TABLE = RouteTable(ROUTES)


def ours(method: str, path: str) -> tuple[str, str, list[str]] | int:
    """Return the row that the table finds, by its own method, with the variables of the path; or the status."""
    try:
        route, name, last = TABLE.find(method, path)
    except EndpointUnknown:
        return NotFound.code
    except RowMissing:
        return MethodNotAllowed.code
    return route.method, route.rule, [text for text in (name, last) if text]


def quarts(router: MapAdapter, method: str, path: str) -> tuple[str, str, list[str]] | int:
    """Return what Quart's router finds, in the same form."""
    try:
        rule, arguments = router.match(path, method, return_rule=True)
    except HTTPException as refusal:
        return refusal.code or 0
    taken, _, _ = rule.endpoint.partition(" ")
    return taken, rule.rule, [arguments[name] for name in ("name", *sorted(set(arguments) - {"name"})) if arguments]


@pytest.fixture
def router() -> MapAdapter:
    """Return Quart's router with the rows of the table."""
    rules = [Rule(row.rule, endpoint=f"{row.method} {row.rule}", methods=[row.method]) for row in ROUTES]
    return Map(rules, strict_slashes=False, merge_slashes=False, redirect_defaults=False).bind("replica")


def test_what_is_found_is_what_quarts_router_finds(router: MapAdapter) -> None:
    """Row, variables, and the status of a refusal are the same, however the name of a repository is made."""
    found = set()
    for path in PATHS:
        for method in METHODS:
            expected = quarts(router, method, path)
            if path.startswith("//"):  # Quart removes a slash, although a proxy before us has seen another path
                expected = NotFound.code
            if path == "/v2" and expected == NotFound.code:  # without its slash, Quart knows the rule for GET alone
                expected = MethodNotAllowed.code
            assert ours(method, path) == expected, (method, path)
            if not isinstance(expected, int):
                found.add(expected[:2])
    assert found == {(row.method, row.rule) for row in ROUTES}


@pytest.mark.parametrize(
    "rule", ["/livez", "/livez/", "/v2/<path:name>/manifests/<tag>", "/v2/<path:name>/blobs/uploads/"]
)
def test_two_rows_for_one_request_are_refused(rule: str) -> None:
    """Which of them counts would depend on their order."""
    method = "POST" if rule.endswith("uploads/") else "GET"
    twin = Route(method, rule, operations.livez, needs=Action.READ)
    with pytest.raises(ValueError, match="another row answers this request"):
        RouteTable([*ROUTES, twin])


@pytest.mark.parametrize("rule", ["/v3/<path:name>/x/<y>", "/v2/<name>/x/<y>", "/v2/<path:name>/<y>", "/<path:name>"])
def test_a_rule_of_another_form_is_refused(rule: str) -> None:
    """A row that nothing could find does not enter the table."""
    with pytest.raises(ValueError, match="a rule with variables"):
        RouteTable([Route("GET", rule, operations.livez, needs=None)])


@pytest.mark.parametrize("error", [RuntimeError("a fault"), ExceptionGroup("a nursery", [RuntimeError("a fault")])])
async def test_a_fault_of_the_program_is_the_envelope_of_the_spec(replica: Replica, error: Exception) -> None:
    """A handler that fails, alone or in a nursery, is answered with an error of the API, and the connection goes on."""
    replica.script.fail("before", "get", "", error)
    failed = await replica.client.get(f"/v2/{REPO}/manifests/latest")
    assert failed.status_code == 500
    assert codes_of(failed)
    assert "a fault" not in failed.text
    assert await ended(replica, "GET") == 500
    assert (await replica.client.get("/v2/")).status_code == 200
