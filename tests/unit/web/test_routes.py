"""The short way to the handlers of a repository: it finds what Quart's router finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from werkzeug.exceptions import HTTPException

from tests.unit.web.serving import ABSENT, REPO, Replica, codes_of, ended
from zotpy.bucket.health import Health
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.registry.settings import RegistrySettings
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import RegistryApp, create_app

if TYPE_CHECKING:
    from quart.routing import QuartRule

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
)
PATHS = (*(f"/v2/{name}/{end}" for name in NAMES for end in ENDS), *UNUSUAL)


@pytest.fixture
async def app() -> RegistryApp:
    """Return the application of a replica; nothing listens."""
    store = MemoryStore()
    registry = await open_registry(store, RegistrySettings(part_size_bytes=MIB), MemoryBudget(8 * MIB, 2 * MIB))
    return create_app(registry, Health(registry.store), lambda: b"")


def quarts(app: RegistryApp, method: str, path: str) -> tuple[QuartRule, dict[str, object]] | None:
    """Return the rule and the arguments that Quart's router finds."""
    try:
        rule, arguments = app.url_map.bind("replica").match(path, method, return_rule=True)
    except HTTPException:
        return None
    return rule, dict(arguments)  # type: ignore[return-value]  # Quart makes rules of its own class only


async def test_what_is_found_is_what_quarts_router_finds(app: RegistryApp) -> None:
    """Rule, arguments and method are the same for each path that goes the short way, however its name is made."""
    short = set()
    for path in PATHS:
        for method in METHODS:
            if (found := app.repository_routes.find(method, path)) is not None:
                rule, _, arguments = found
                assert (rule, arguments) == quarts(app, method, path), (method, path)
                short.add((method, rule.rule))
    assert len(short) == sum(len((rule.methods or set()) - {"OPTIONS"}) for rule in repository_rules(app))


def repository_rules(app: RegistryApp) -> list[QuartRule]:
    """Return the rules that CI calls most, for all of which there is a short way."""
    kinds = ("/manifests/", "/blobs/", "/referrers/")
    return [rule for rule in app.url_map.iter_rules() if any(f"<path:name>{kind}" in rule.rule for kind in kinds)]  # type: ignore[misc]  # Quart's


@pytest.mark.parametrize("method", METHODS)
async def test_each_rule_has_its_own_handler(app: RegistryApp, method: str) -> None:
    """The handler is the one that Quart would call for the rule."""
    for path in PATHS:
        if (found := app.repository_routes.find(method, path)) is not None:
            rule, handler, _ = found
            view = app.view_functions[rule.endpoint]
            cells = [cell.cell_contents for cell in view.__closure__ or ()]
            assert handler in cells, (method, path)


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
