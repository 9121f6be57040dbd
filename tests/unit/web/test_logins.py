"""Logins over HTTP: who gets in, what others are told, and whose an upload is."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tests.unit.auth.hashed import BCRYPT, HASHES, PASSWORD
from tests.unit.web.serving import REPO, UPLOADS, Replica, codes_of, digest_of, serving
from zotpy.auth.grants import everything_to_users
from zotpy.auth.htpasswd import Users
from zotpy.auth.passwords import PasswordChecks
from zotpy.auth.permission import Identity, Permission, Unrestricted
from zotpy.http.server.proxies import TrustedProxies
from zotpy.web.app import ROUTES
from zotpy.web.challenges import Challenges
from zotpy.web.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import trio

    from zotpy.auth.basic import Credentials
    from zotpy.auth.conditions import Circumstances
    from zotpy.web.login import Grant

PATHS = (
    ("GET", "/v2/"),
    ("GET", "/v2"),
    ("GET", "/v2/_catalog"),
    ("GET", f"/v2/{REPO}/tags/list"),
    ("HEAD", f"/v2/{REPO}/manifests/v1"),
    ("PUT", f"/v2/{REPO}/manifests/v1"),
    ("POST", UPLOADS),
    ("DELETE", f"/v2/{REPO}/manifests/v1"),
    ("GET", "/metrics"),
)
USERS = Users.parse(f"alice:{BCRYPT}\nbob:{HASHES['SHA-512-crypt with rounds']}\n")
ALICE, BOB = ("alice", PASSWORD), ("bob", PASSWORD)


def login(grant: Grant = everything_to_users, waiting: int = 8) -> Login:
    """Return what admits alice and bob."""
    return Login([PasswordChecks(lambda: USERS, 2, waiting, 300.0)], grant=grant)


@pytest.fixture
async def locked(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica whose users may do everything, and nobody else anything."""
    async with serving(nursery, admit=login().admit, challenge=Challenges("Our registry")) as replica:
        yield replica


def check_challenged(answer: httpx.Response, *, has_body: bool = True) -> None:
    """Check that an answer asks for a login, in the form of the spec."""
    assert answer.status_code == 401
    assert answer.headers.get_list("WWW-Authenticate") == ['Basic realm="Our registry"']
    if has_body:
        assert codes_of(answer) == ["UNAUTHORIZED"]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_callers_without_a_login_are_challenged(locked: Replica, method: str, path: str) -> None:
    """Every endpoint that needs an action is closed, and nothing is done."""
    before = dict(locked.store.objects)
    check_challenged(await locked.client.request(method, path), has_body=method != "HEAD")
    assert locked.store.objects == before


async def test_probes_and_the_first_page_ask_for_no_login(locked: Replica) -> None:
    """Balancers have no password."""
    open_paths = [route.rule for route in ROUTES if route.needs is None]
    assert {"/livez", "/readyz", "/startupz"} <= {*open_paths}
    for path in open_paths:
        assert (await locked.client.get(path)).status_code == 200
        assert (await locked.client.get(path, auth=("alice", "wrong"))).status_code == 200


@pytest.mark.parametrize(
    "auth",
    [
        *(("alice", "wrong"), ("alice", ""), ("", PASSWORD), ("mallory", PASSWORD), ("ALICE", PASSWORD)),
        *(("alice", PASSWORD * 10), ("x" * 300, PASSWORD)),
    ],
)
async def test_wrong_credentials_are_refused(locked: Replica, auth: tuple[str, str]) -> None:
    """Each wrong name or password is answered like any other one."""
    check_challenged(await locked.client.get("/v2/", auth=auth))


@pytest.mark.parametrize("text", ["Basic", "Basic !", "Bearer eyJh", "Basic YWxpY2U", "", "Basic Og=="])
async def test_headers_that_say_nothing_are_refused(locked: Replica, text: str) -> None:
    """None of them is an internal error."""
    check_challenged(await locked.client.get("/v2/_catalog", headers={"Authorization": text}))


async def test_two_headers_are_refused(locked: Replica) -> None:
    """A proxy may look at one of them, and the registry at the other one."""
    good = locked.client.build_request("GET", "/v2/").headers
    assert (await locked.client.get("/v2/", auth=ALICE)).status_code == 200
    basic = "Basic YWxpY2U6cMOkc3N3b3Jk"
    assert (await locked.client.get("/v2/", headers={"Authorization": basic})).status_code == 200
    headers = [*good.raw, (b"Authorization", basic.encode()), (b"Authorization", basic.encode())]
    check_challenged(await locked.client.get("/v2/", headers=headers))


async def test_a_user_pushes_and_pulls(locked: Replica) -> None:
    """A user may do everything, and each request names the user and the login."""
    locked.client.auth = ALICE
    await locked.push_image("v1")
    assert (await locked.client.get(f"/v2/{REPO}/tags/list")).json()["tags"] == ["v1"]
    assert (await locked.client.get("/metrics")).status_code == 200
    answered = [await locked.ended.receive() for _ in range(4)]
    assert {(each.user, each.login) for each in answered} == {("alice", "htpasswd")}


async def test_what_was_pushed_never_becomes_a_page(locked: Replica) -> None:
    """A browser that has logged in would run a script in it with the rights of its user."""
    locked.client.auth = ALICE
    content = b'{"x": "<script>alert(1)</script>"}'
    for media_type, is_inert in (("text/html", True), ("image/svg+xml", True), ("application/vnd.x+json", False)):
        url = f"/v2/{REPO}/manifests/v1"
        pushed = await locked.client.put(url, content=content, headers={"Content-Type": media_type})
        assert pushed.status_code == 201, pushed.text
        for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-1,5-9"}):
            answer = await locked.client.get(url, headers=headers)
            assert ("sandbox" in answer.headers.get("Content-Security-Policy", "")) == is_inert
            assert (answer.headers.get("X-Content-Type-Options") == "nosniff") == is_inert


async def test_a_refused_request_names_nobody(locked: Replica) -> None:
    """The name of a failed login may be a password typed into the wrong field."""
    await locked.client.get("/v2/", auth=("secret", "alice"))
    answered = await locked.ended.receive()
    assert (answered.user, answered.login, answered.status) == ("", "", 401)


async def test_an_upload_belongs_to_the_user_who_began_it(locked: Replica) -> None:
    """Another user gets the answer of an upload that does not exist. The first one goes on."""
    location = (await locked.client.post(UPLOADS, auth=ALICE)).headers["Location"]
    first = await locked.client.patch(location, content=b"abc", auth=ALICE)
    location = first.headers["Location"]
    digest = digest_of(b"abc")
    for request in (
        locked.client.build_request("GET", location),
        locked.client.build_request("PATCH", location, content=b"x"),
        locked.client.build_request("PUT", f"{location}&digest={digest}"),
        locked.client.build_request("DELETE", location),
    ):
        answer = await locked.client.send(request, auth=BOB)
        assert (answer.status_code, codes_of(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    state = location.partition("?")[2]
    assert (
        await locked.client.put(f"{location.partition('?')[0]}?{state}&digest={digest}", auth=ALICE)
    ).status_code == 201


async def test_a_body_of_a_stranger_is_not_asked_for(locked: Replica) -> None:
    """A client that waits for `100 Continue` is refused before it sends the body."""
    head = f"PUT /v2/{REPO}/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    async with await locked.connect() as stream:
        await stream.send_all(head.encode())
        received = await stream.receive_some()
    assert received.startswith(b"HTTP/1.1 401 ")


async def test_too_many_logins_are_told_to_come_back(nursery: trio.Nursery) -> None:
    """The answer is 429 with Retry-After, which clients repeat."""
    async with serving(nursery, admit=login(waiting=0).admit) as replica:
        answer = await replica.client.get("/v2/", auth=ALICE)
        assert (answer.status_code, codes_of(answer)) == (429, ["TOOMANYREQUESTS"])
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("proxies", "told"), [(None, "127.0.0.1"), (TrustedProxies([ip_network("127.0.0.0/8")]), "192.0.2.7")]
)
async def test_a_login_counts_for_the_address_of_its_client(
    nursery: trio.Nursery, proxies: TrustedProxies | None, told: str
) -> None:
    """That is what trusted proxies say, and nobody else."""
    seen: list[str] = []

    class Noting:
        """Notes whose credentials it is asked about."""

        async def identify(self, credentials: Credentials) -> Identity | None:
            """Say that nobody has them."""
            seen.append(credentials.client)
            return None

    async with serving(nursery, admit=Login([Noting()]).admit, proxies=proxies) as replica:
        await replica.client.get("/v2/", auth=ALICE, headers={"X-Forwarded-For": "192.0.2.7"})
    assert seen == [told]


async def test_anonymous_callers_get_what_is_granted_but_no_ping_and_no_list(nursery: trio.Nursery) -> None:
    """Clients send credentials only after a refusal: docker, podman and crane of `/v2/`, oras and regctl of the list.

    Wrong ones never count as none.
    """

    def grant(identity: Identity, circumstances: Circumstances) -> Permission:
        del circumstances
        return Unrestricted(identity)

    async with serving(nursery, admit=login(grant).admit, challenge=Challenges("Our registry")) as replica:
        for path in ("/v2/", "/v2", "/v2/_catalog", "/v2/_catalog?n=5"):
            check_challenged(await replica.client.get(path))
            assert (await replica.client.get(path, auth=ALICE)).status_code == 200
        await replica.push_image("v1")
        assert (await replica.client.get(f"/v2/{REPO}/manifests/v1")).status_code == 200
        assert (
            await replica.client.get(f"/v2/{REPO}/tags/list", headers={"Authorization": "Basic Og=="})
        ).status_code == 200
        check_challenged(await replica.client.get(f"/v2/{REPO}/manifests/v1", auth=("alice", "wrong")))
        ended = [await replica.ended.receive() for _ in range(12)]
        assert ("", "anonymous") in {(each.user, each.login) for each in ended}
