"""The one door: each row says what it needs, each request is asked about before its handler runs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_layers import ROOT, imports_of
from tests.unit.web.serving import ABSENT, CONFIG, REPO, UPLOADS, Replica, codes_of, digest_of, image, serving
from zotpy.auth.actions import Action
from zotpy.auth.permission import Identity
from zotpy.bucket.health import Health
from zotpy.core.errors import Unsupported
from zotpy.core.media_types import OCI_IMAGE
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings
from zotpy.store.memory_store import MemoryStore
from zotpy.web import blobs, lists, manifests, operations, uploads, welcome
from zotpy.web.answers import Answer
from zotpy.web.app import ROUTES, create_app
from zotpy.web.call import Call
from zotpy.web.routes import Route, RouteTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    import trio

    from zotpy.core.names import RepositoryName, Tag
    from zotpy.http.server.bounded_request import BoundedRequest

NEEDS = {
    ("GET", "/"): None,
    ("GET", "/livez"): None,
    ("GET", "/readyz"): None,
    ("GET", "/startupz"): None,
    ("GET", "/metrics"): Action.METRICS,
    ("GET", "/v2/"): Action.CONNECT,  # end-1
    ("GET", "/v2/_catalog"): Action.CATALOG,
    ("GET", "/v2/<path:name>/blobs/<digest>"): Action.READ,  # end-2
    ("GET", "/v2/<path:name>/manifests/<reference>"): Action.READ,  # end-3
    ("POST", "/v2/<path:name>/blobs/uploads/"): Action.CREATE,  # end-4a, 4b, 11
    ("PATCH", "/v2/<path:name>/blobs/uploads/<upload_id>"): Action.CREATE,  # end-5
    ("PUT", "/v2/<path:name>/blobs/uploads/<upload_id>"): Action.CREATE,  # end-6
    ("PUT", "/v2/<path:name>/manifests/<reference>"): Action.PUSH,  # end-7
    ("GET", "/v2/<path:name>/tags/list"): Action.READ,  # end-8a, 8b
    ("DELETE", "/v2/<path:name>/manifests/<reference>"): Action.DELETE,  # end-9
    ("DELETE", "/v2/<path:name>/blobs/<digest>"): Action.DELETE,  # end-10
    ("GET", "/v2/<path:name>/referrers/<digest>"): Action.READ,  # end-12a, 12b
    ("GET", "/v2/<path:name>/blobs/uploads/<upload_id>"): Action.READ,  # end-13
    ("DELETE", "/v2/<path:name>/blobs/uploads/<upload_id>"): Action.CREATE,  # end-14
}
LAST = {"<digest>": ABSENT, "<reference>": "v1", "<upload_id>": "an-upload"}
Question = tuple[Action, str | None, str]


def path_of(rule: str) -> tuple[str, str]:
    """Return a path that a rule matches, and what it says in the place of the last variable."""
    last = next((text for variable, text in LAST.items() if variable in rule), "")
    for variable, text in LAST.items():
        rule = rule.replace(variable, text)
    return rule.replace("<path:name>", REPO), last


@dataclass(slots=True)
class Rules:
    """A permission that allows some actions, in some repositories, and notes each question."""

    actions: Collection[Action]
    repos: Collection[str] | None = None
    """`None`: all."""
    refused: Collection[str] = ()
    """References that nobody may touch."""
    asked: list[Question] = field(default_factory=list)
    identity: Identity = field(default_factory=lambda: Identity("alice"))
    is_open: bool = False

    async def admit(self, request: BoundedRequest) -> Rules:
        """Let everybody in."""
        del request
        return self

    def require(self, action: Action, repo: RepositoryName | None, reference: str = "") -> None:
        """Refuse what is not allowed."""
        if not self.allows(action, repo, reference):
            msg = f"alice may not {action}"
            raise Unsupported(msg)

    def allows(self, action: Action, repo: RepositoryName | None, reference: str = "") -> bool:
        """Say whether it is allowed."""
        name = None if repo is None else repo.text
        self.asked.append((action, name, reference))
        is_refused = action not in self.actions or reference in self.refused
        return not is_refused and (name is None or self.repos is None or name in self.repos)

    def is_fixed(self, action: Action, repo: RepositoryName, tag: Tag) -> bool:
        """Say no."""
        del action, repo, tag
        return False

    def detects_collisions(self, repo: RepositoryName) -> bool:
        """Say no."""
        del repo
        return False

    def rule_of(self, action: Action, repo: RepositoryName | None, reference: str = "") -> str:
        """Name no rule."""
        del action, repo, reference
        return ""


@pytest.fixture
def rules() -> Rules:
    """Return rules that allow nothing yet."""
    return Rules(set())


@pytest.fixture
async def guarded(nursery: trio.Nursery, rules: Rules) -> AsyncIterator[Replica]:
    """Return a replica that obeys the rules."""
    async with serving(nursery, admit=rules.admit) as replica:
        yield replica


def test_every_endpoint_says_what_it_needs() -> None:
    """Each endpoint of the spec, and each of our own, has a row with the action that a policy is asked for."""
    assert {(route.method, route.rule): route.needs for route in ROUTES} == NEEDS


async def test_handlers_are_reached_by_the_table_alone() -> None:
    """Each handler stands in a row, and Quart's own map of URLs leads nowhere."""
    handlers = {
        function
        for module in (blobs, lists, manifests, operations, uploads, welcome)
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }
    assert {route.handler for route in ROUTES} == handlers
    for handler in handlers:
        assert list(inspect.get_annotations(handler, eval_str=True).values())[:-1] == [Call]
    registry = await open_registry(MemoryStore(), Settings(), MemoryBudget(1 << 26, 1 << 23))
    app = create_app(registry, Health(registry.store), lambda: b"")
    assert list(app.url_map.iter_rules()) == []
    assert app.view_functions == {}
    assert app.dispatcher.table.routes == ROUTES


def test_only_the_table_knows_the_handlers() -> None:
    """No other module imports them, so none can call them."""
    handlers = {route.handler.__module__ for route in ROUTES}
    importing = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in (ROOT / "zotpy").rglob("*.py")
        for _, name in imports_of(file.read_text())
        if any(f"{name}.".startswith(f"{handler}.") for handler in handlers)
    }
    assert importing == {create_app.__module__}


@pytest.mark.parametrize("key", NEEDS, ids=" ".join)
async def test_a_caller_is_asked_about_before_the_handler_runs(
    guarded: Replica, rules: Rules, key: tuple[str, str]
) -> None:
    """A row with an action is refused to those who may not do it, and nothing was done; the others ask nobody."""
    (method, rule), needs = key, NEEDS[key]
    path, last = path_of(rule)
    before = dict(guarded.store.objects)
    answer = await guarded.client.request(method, path, params={"digest": digest_of(b"")})
    if needs is None:
        assert (answer.status_code, rules.asked) == (200, [])
        return
    assert (answer.status_code, codes_of(answer)) == (501, ["UNSUPPORTED"])
    assert answer.json()["errors"][0]["message"] == f"alice may not {needs}"
    assert rules.asked == [(needs, REPO if "<path:name>" in rule else None, last)]
    assert guarded.store.objects == before


async def test_a_caller_who_must_log_in_first_is_answered_so(nursery: trio.Nursery) -> None:
    """What admits callers may refuse one before any handler runs; probes and the first page ask nobody."""

    async def refuse(request: BoundedRequest) -> Rules:
        msg = f"log in to {request.method}"
        raise Unsupported(msg)

    async with serving(nursery, admit=refuse) as replica:
        for (method, rule), needs in NEEDS.items():
            answer = await replica.client.request(method, path_of(rule)[0])
            assert answer.status_code == (200 if needs is None else 501), rule
            if needs is not None:
                assert answer.json()["errors"][0]["message"] == f"log in to {method}"


@pytest.mark.parametrize("is_required", [True, False], ids=["requires", "asks"])
async def test_a_handler_whose_row_asks_nobody_may_do_nothing(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, is_required: object
) -> None:
    """It is refused what it asks for, although everybody may do everything: its row must say what it needs."""
    asked: list[bool] = []

    async def handler(call: Call) -> Answer:
        if is_required:
            call.permission.require(Action.READ, None)
        asked.append(call.permission.allows(Action.READ, None))
        return Answer("", 200)

    find = RouteTable([Route("GET", "/livez", handler, needs=None)]).find
    monkeypatch.setattr(RouteTable, "find", lambda _, method, path: find(method, path))
    answer = await replica.client.get("/livez")
    assert (answer.status_code, asked) == ((500, []) if is_required else (200, [False]))


@pytest.mark.parametrize(
    ("path", "code"), [("/v2/UPPER/manifests/v1", "NAME_INVALID"), ("/v2/nothing", "NAME_UNKNOWN")]
)
async def test_what_is_no_repository_or_no_endpoint_asks_nobody(
    guarded: Replica, rules: Rules, path: str, code: str
) -> None:
    """The repository was parsed before a policy is asked about it."""
    assert codes_of(await guarded.client.get(path)) == [code]
    assert rules.asked == []


@pytest.mark.parametrize(
    ("source", "granted", "status"),
    [
        ("team/secret", {Action.READ}, 201),
        ("team/secret", set(), 202),
        ("team/nothing", {Action.READ}, 202),
        (None, {Action.READ}, 202),
    ],
)
async def test_a_mount_needs_to_read_its_source(
    guarded: Replica, rules: Rules, source: str | None, granted: set[Action], status: int
) -> None:
    """A caller who may not read the source, or names none, is told nothing of it: an upload begins."""
    rules.actions = {Action.CREATE}
    digest = await guarded.push_blob(CONFIG, "team/secret")
    rules.asked.clear()
    rules.actions = {Action.CREATE, *granted}
    answer = await guarded.client.post(UPLOADS, params={"mount": digest} | ({} if source is None else {"from": source}))
    assert answer.status_code == status
    asked: list[Question] = [(Action.CREATE, REPO, "")]
    assert rules.asked == [*asked, *([] if source is None else [(Action.READ, source, "")])]


@pytest.mark.parametrize(("refused", "asked"), [(None, ["v1", "v2", "v3"]), ("v2", ["v1", "v2"])])
async def test_a_push_with_several_tags_needs_each_of_them(
    guarded: Replica, rules: Rules, refused: str | None, asked: list[str]
) -> None:
    """A policy is asked for the digest, then for each tag; if one is refused, nothing was written."""
    rules.actions = {Action.CREATE, Action.UPDATE, Action.PUSH}
    await guarded.push_blob(CONFIG)
    digest, content = digest_of(image()), image()
    rules.asked.clear()
    rules.refused = [] if refused is None else [refused]
    before = dict(guarded.store.objects)
    answer = await guarded.client.put(
        f"/v2/{REPO}/manifests/{digest}",
        params={"tag": ["v1", "v2", "v3"]},
        content=content,
        headers={"Content-Type": OCI_IMAGE},
    )
    assert answer.status_code == (201 if refused is None else 501)
    needed = [each for each in rules.asked if each[0] is Action.PUSH]
    assert needed == [(Action.PUSH, REPO, reference) for reference in (digest, *asked)]
    assert (guarded.store.objects == before) == (refused is not None)


@pytest.mark.parametrize("key", NEEDS, ids=" ".join)
async def test_the_metrics_call_an_endpoint_by_its_rule(replica: Replica, key: tuple[str, str]) -> None:
    """Each request is counted under the rule that it matched, whether it was answered or refused."""
    method, rule = key
    await replica.client.request(method, path_of(rule)[0])
    assert (await replica.ended.receive()).route == rule


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("POST", "/livez"), ("PATCH", f"/v2/{REPO}/tags/list")]
)
async def test_what_matches_no_row_is_counted_as_none(replica: Replica, method: str, path: str) -> None:
    """Clients cannot make more series of the metrics than there are rows."""
    await replica.client.request(method, path)
    assert (await replica.ended.receive()).route == "none"
