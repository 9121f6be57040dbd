"""What the audit log says of requests: who, from where, what, by which rule, and whether it was allowed."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tests.unit.auth.hashed import PASSWORD
from tests.unit.auth.rules import grant, policies
from tests.unit.web.serving import CONFIG, REPO, UPLOADS, Replica, digest_of, image, serving
from tests.unit.web.test_logins import ALICE, BOB, login
from zotpy.auth.conditions import UNJUDGED
from zotpy.auth.granted import Granted
from zotpy.core.media_types import OCI_IMAGE
from zotpy.http.server.proxies import TrustedProxies
from zotpy.web.auditing import QUIET_S, REMEMBERED, Arrivals, Audit, Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio
    from trio.testing import MockClock

    from zotpy.auth.conditions import Circumstances
    from zotpy.auth.permission import Identity, Permission

CONTROL = policies(
    repositories={
        "team/*": {"policies": [grant("read create", users="alice")], "anonymousPolicy": ["read"]},
        "secret/*": {"policies": [grant("create", users="alice")]},
    },
    adminPolicy=grant("delete", users="bob"),
)
TEAM = "http.accessControl.repositories[team/*]"


def permission(identity: Identity, circumstances: Circumstances = UNJUDGED) -> Permission:
    """Return what a caller may do."""
    return Granted(CONTROL, identity, circumstances)


@pytest.fixture
def noted() -> list[Entry]:
    """Return the entries so far."""
    return []


@pytest.fixture
def pulls() -> bool:
    """Say whether pulls are noted."""
    return False


@pytest.fixture
async def audited(nursery: trio.Nursery, noted: list[Entry], *, pulls: bool) -> AsyncIterator[Replica]:
    """Return a replica with rules and an audit log, at which its users were lately."""
    audit, proxies = Audit(noted.append, pulls), TrustedProxies([ip_network("127.0.0.0/8")])
    for user, _ in (ALICE, BOB):
        for client in ("127.0.0.1", "203.0.113.9"):
            audit.arrivals.is_new(str(user), "htpasswd", client)
    async with serving(nursery, admit=login(permission).admit, audit=audit, proxies=proxies) as replica:
        yield replica


def short(entry: Entry) -> tuple[object, ...]:
    """Return what most tests look at."""
    return tuple(entry[name] for name in ("event", "user", "action", "repository", "rule", "decision", "status"))


async def test_a_push_is_one_line_with_all_that_it_is_about(audited: Replica, noted: list[Entry]) -> None:
    """The client is the one that the trusted proxy names, and the peer is the proxy."""
    content = image()
    await audited.client.post(UPLOADS, params={"digest": digest_of(CONFIG)}, content=CONFIG, auth=ALICE)
    noted.clear()
    headers = {"Content-Type": OCI_IMAGE, "X-Forwarded-For": "203.0.113.9"}
    url = f"/v2/{REPO}/manifests/v1"
    answer = await audited.client.put(f"{url}?x=1", content=content, headers=headers, auth=ALICE)
    assert answer.status_code == 201, answer.text
    (entry,) = noted
    assert str(entry.pop("time")).endswith("Z")
    assert entry == {
        "event": "request",
        "user": "alice",
        "login": "htpasswd",
        "key": "",
        "client": "203.0.113.9",
        "peer": "127.0.0.1",
        "method": "PUT",
        "path": url,
        "action": "push",
        "repository": REPO,
        "reference": "v1",
        "tag": "v1",
        "digest": digest_of(content),
        "rule": f"{TEAM}.policies[0]",
        "decision": "allowed",
        "status": 201,
    }


async def test_each_tag_of_a_push_is_a_decision(audited: Replica, noted: list[Entry]) -> None:
    """The right to replace a tag, if the caller turns out to need it, is a decision as well."""
    content, url = image(), f"/v2/{REPO}/manifests/{digest_of(image())}"
    await audited.client.post(UPLOADS, params={"digest": digest_of(CONFIG)}, content=CONFIG, auth=ALICE)
    noted.clear()
    headers = {"Content-Type": OCI_IMAGE}
    pushed = await audited.client.put(url, params={"tag": ["a", "b"]}, content=content, headers=headers, auth=ALICE)
    assert pushed.status_code == 201, pushed.text
    assert [(entry["action"], entry["tag"], entry["decision"]) for entry in noted] == [
        ("push", "", "allowed"),
        ("push", "a", "allowed"),
        ("push", "b", "allowed"),
    ]
    noted.clear()
    await audited.client.put(url, params={"tag": ["b"]}, content=content, headers=headers, auth=ALICE)
    assert noted[-1]["status"] == 403
    assert [(entry["action"], entry["tag"], entry["decision"]) for entry in noted][1:] == [
        ("push", "b", "allowed"),
        ("update", "b", "refused"),
    ]


async def test_refusals_are_noted_with_the_rule(audited: Replica, noted: list[Entry]) -> None:
    """Reads that are refused are, too, and callers without a login."""
    await audited.client.delete(f"/v2/{REPO}/manifests/v1", auth=ALICE)
    await audited.client.get("/v2/secret/a/tags/list", auth=BOB)
    await audited.client.get("/v2/other/tags/list")
    await audited.client.get("/v2/")
    assert [short(entry) for entry in noted] == [
        ("request", "alice", "delete", REPO, TEAM, "refused", 403),
        ("request", "bob", "read", "secret/a", "http.accessControl.repositories[secret/*]", "refused", 403),
        ("request", "", "read", "other", "http.accessControl.repositories", "refused", 401),
        ("request", "", "connect", "", "http.auth", "refused", 401),
    ]
    assert [entry["login"] for entry in noted[2:]] == ["anonymous", ""]


async def test_a_refusal_by_a_condition_names_its_policy(nursery: trio.Nursery, noted: list[Entry]) -> None:
    """It names the policy and not only the pattern: without the condition the policy would have granted it."""
    conditional = {**grant("create", users="alice"), "conditions": [{"expression": "req.userAgent == 'good'"}]}
    control = policies(repositories={"team/*": {"policies": [grant("read", users="alice"), conditional]}})

    def by_rules(identity: Identity, circumstances: Circumstances = UNJUDGED) -> Permission:
        return Granted(control, identity, circumstances)

    audit = Audit(noted.append)
    audit.arrivals.is_new("alice", "htpasswd", "127.0.0.1")
    async with serving(nursery, admit=login(by_rules).admit, audit=audit) as replica:
        await replica.client.post(UPLOADS, auth=ALICE)
        await replica.client.delete(f"/v2/{REPO}/manifests/v1", auth=ALICE)
    assert [short(entry)[2:] for entry in noted] == [
        ("create", REPO, f"{TEAM}.policies[1]", "refused", 403),
        ("delete", REPO, TEAM, "refused", 403),
    ]


async def test_a_mount_says_whether_its_source_may_be_read(audited: Replica, noted: list[Entry]) -> None:
    """A client sees only that an upload begins."""
    await audited.client.post(UPLOADS, params={"mount": digest_of(CONFIG), "from": "secret/a"}, auth=ALICE)
    assert [short(entry)[2:] for entry in noted] == [
        ("create", REPO, f"{TEAM}.policies[0]", "allowed", 202),
        ("read", "secret/a", "http.accessControl.repositories[secret/*]", "refused", 202),
    ]


async def test_logins_are_noted_good_and_bad(audited: Replica, noted: list[Entry]) -> None:
    """The name of a bad one is left out, as in the log: it may be a password in the wrong field."""
    await audited.client.get("/v2/", auth=ALICE)
    await audited.client.get("/v2/", auth=("alice", "wrong"))
    await audited.client.get(f"/v2/{REPO}/tags/list", auth=("hunter2", "alice"))
    assert [short(entry) for entry in noted] == [
        ("login", "alice", "connect", "", "http.auth", "allowed", 200),
        ("login", "", "connect", "", "http.auth", "refused", 401),
        ("login", "", "read", REPO, "http.auth", "refused", 401),
    ]


async def test_the_first_request_is_a_login(audited: Replica, noted: list[Entry]) -> None:
    """Some clients, crane among them, never ask `/v2/` with a password."""
    url, elsewhere = f"/v2/{REPO}/tags/list", {"X-Forwarded-For": "203.0.113.10"}
    for _ in range(2):
        await audited.client.get(url, auth=ALICE, headers=elsewhere)
    assert [(*short(entry)[:3], entry["client"]) for entry in noted] == [("login", "alice", "connect", "203.0.113.10")]


async def test_users_are_new_after_some_time(mock_clock: MockClock) -> None:
    """Each request counts, and those of other users, logins and addresses do not. Only some users are remembered."""
    arrivals = Arrivals()
    assert arrivals.is_new("alice", "htpasswd", "0")
    for wait_s, is_new in ((QUIET_S - 1, False), (QUIET_S - 1, False), (QUIET_S, True)):
        mock_clock.jump(wait_s)
        assert arrivals.is_new("alice", "htpasswd", "0") is is_new
    for others in (("bob", "htpasswd", "0"), ("alice", "ldap", "0"), ("alice", "htpasswd", "1")):
        assert arrivals.is_new(*others)
    for number in range(2, REMEMBERED + 2):
        assert arrivals.is_new("alice", "htpasswd", str(number))
    assert arrivals.is_new("alice", "htpasswd", "0")
    assert len(arrivals._seen) == REMEMBERED


async def test_secrets_are_never_noted(audited: Replica, noted: list[Entry]) -> None:
    """The audit log has neither passwords nor the state of an upload, which is a token."""
    location = (await audited.client.post(UPLOADS, auth=ALICE)).headers["Location"]
    await audited.client.get(location, auth=ALICE)
    await audited.client.delete(location, auth=ALICE)
    await audited.client.get("/v2/", auth=("alice", "wrong-password"))
    text = repr(noted).encode()
    token = location.partition("_state=")[2].encode()
    for secret in (token[:20], PASSWORD, b64encode(b"alice:" + PASSWORD), b"wrong-password"):
        assert secret not in text
    assert [entry["method"] for entry in noted] == ["POST", "DELETE", "GET"]


async def test_pulls_are_left_out(audited: Replica, noted: list[Entry]) -> None:
    """They are most of all requests."""
    await audited.client.get(f"/v2/{REPO}/tags/list", auth=ALICE)
    await audited.client.get("/v2/_catalog", auth=BOB)
    assert noted == []


@pytest.mark.parametrize("pulls", [True])
async def test_pulls_are_noted_on_request(audited: Replica, noted: list[Entry]) -> None:
    """A list is one decision, however many repositories it looks at."""
    await audited.client.get(f"/v2/{REPO}/manifests/v1", auth=ALICE)
    await audited.client.get("/v2/_catalog", auth=BOB)
    assert [short(entry) for entry in noted] == [
        ("request", "alice", "read", REPO, f"{TEAM}.policies[0]", "allowed", 404),
        ("request", "bob", "catalog", "", "http.accessControl", "allowed", 200),
    ]


@pytest.mark.parametrize("pulls", [True])
async def test_what_asks_nobody_is_no_decision(audited: Replica, noted: list[Entry]) -> None:
    """Probes, unknown endpoints and malformed names decide nothing."""
    for path in ("/livez", "/", "/nothing", "/v2/UPPER/tags/list"):
        await audited.client.get(path)
    assert noted == []


async def test_without_logins_everybody_is_allowed(nursery: trio.Nursery, noted: list[Entry]) -> None:
    """The audit log says so, and names no rule."""
    async with serving(nursery, audit=Audit(noted.append)) as replica:
        await replica.client.post(UPLOADS)
    assert [short(entry) for entry in noted] == [("request", "", "create", REPO, "", "allowed", 202)]
