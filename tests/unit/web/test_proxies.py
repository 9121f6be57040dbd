"""What is believed of a request's client: only what trusted proxies say, and only what is well-formed."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from werkzeug.datastructures import Headers

from tests.unit.web.serving import REPO, UPLOADS, digest_of, image, serving
from zotpy.core.media_types import OCI_IMAGE
from zotpy.http.server.proxies import Reached, TrustedProxies, address_of, forwarded_elements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import trio

    from tests.unit.web.serving import Replica

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
PROXY = "10.0.0.1"
HOST = ("Host", "inside:5000")


def trace(*headers: tuple[str, str], peer: str = PROXY) -> Reached:
    """Trace a request that came over plain HTTP."""
    return PROXIES.trace(peer, "http", Headers([HOST, *headers]))


@pytest.mark.parametrize("peer", ["192.0.2.1", "", "2001:db8::1"])
def test_others_are_not_believed(peer: str) -> None:
    """Whatever a client that is no trusted proxy claims, it is where its connection comes from."""
    claims = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "elsewhere"),
        ("X-Forwarded-Prefix", "/elsewhere"),
        ("Forwarded", "for=198.51.100.1;proto=https;host=elsewhere"),
    ]
    assert trace(*claims, peer=peer) == Reached(peer, "http", "inside:5000")


@pytest.mark.parametrize("peer", [PROXY, "::ffff:10.0.0.1", "fd00::1"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    """Client, scheme, host and prefix are what it says; an IPv4 peer may be shown as an IPv6 one."""
    said = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Proto", "HTTPS"),
        ("X-Forwarded-Host", "registry.example.com:8443"),
        ("X-Forwarded-Prefix", "/a/b-1/"),
    ]
    reached = trace(*said, peer=peer)
    assert reached == Reached("198.51.100.1", "https", "registry.example.com:8443", "/a/b-1")
    assert reached.origin == "https://registry.example.com:8443"


@pytest.mark.parametrize(
    ("listed", "client"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        (["203.0.113.9", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["198.51.100.1, nonsense"], PROXY),
        (["198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ([""], PROXY),
        (["198.51.100.1", *["10.0.0.2"] * 40], "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_whom_we_do_not_trust(listed: list[str], client: str) -> None:
    """What stands further left in the list may be anybody's invention; what cannot be read ends the search."""
    assert trace(*(("X-Forwarded-For", value) for value in listed)).client == client


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("for=198.51.100.1", Reached("198.51.100.1", "http", "inside:5000")),
        (
            'For="[2001:db8::1]:4711"; Proto=HTTPS ;host="r.example.com:8443"',
            Reached("2001:db8::1", "https", "r.example.com:8443"),
        ),
        ("for=203.0.113.9;host=wrong, for=198.51.100.1;host=r", Reached("198.51.100.1", "http", "r")),
        ("for=198.51.100.1;host=r;proto=https, for=10.0.0.2;host=in", Reached("198.51.100.1", "https", "r")),
        ("for=198.51.100.1, for=unknown", Reached(PROXY, "http", "inside:5000")),
        ("for=_hidden;proto=https", Reached(PROXY, "https", "inside:5000")),
        (",, ;for=198.51.100.1;,", Reached("198.51.100.1", "http", "inside:5000")),
        ('for="198.51.100.1', Reached(PROXY, "http", "inside:5000")),
        ("for", Reached(PROXY, "http", "inside:5000")),
        ("for=198.51.100.1;proto=gopher;host=a/b", Reached("198.51.100.1", "http", "inside:5000")),
        ("for=198.51.100.1;" * 1000, Reached(PROXY, "http", "inside:5000")),
    ],
)
def test_forwarded_is_read_element_by_element(text: str, reached: Reached) -> None:
    """RFC 7239: of several elements, those count that trusted proxies have added; nonsense counts as nothing."""
    assert trace(("Forwarded", text)) == reached


def test_quoted_strings_are_unquoted() -> None:
    """A backslash in a quoted string stands before a sign that is meant as it is, be it a comma or a quote."""
    assert list(forwarded_elements(r'by="a\"b,;=\\", for=x')) == [{"by": 'a"b,;=\\'}, {"for": "x"}]


def test_what_most_proxies_set_goes_first() -> None:
    """A proxy that sets X-Forwarded-For may pass on any `Forwarded` of its client."""
    said = [("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=203.0.113.9;host=elsewhere")]
    assert trace(*said) == Reached("198.51.100.1", "http", "inside:5000")


@pytest.mark.parametrize(
    "prefix",
    [
        "team",
        "//evil.example.com",
        "/a//b",
        "/a/../b",
        "/..",
        "/./a",
        "/a b",
        "/a%2e%2e",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/" + "a" * 255,
        "https://evil.example.com/",
        "/\u00e9",
    ],
)
def test_a_prefix_that_could_lead_elsewhere_is_ignored(prefix: str) -> None:
    """Only segments of plain characters, none of them dots alone, make a prefix; the rest is told at level debug."""
    with capture_logs() as logs:
        assert trace(("X-Forwarded-Prefix", prefix)).prefix == ""
    assert [(entry["log_level"], entry["header"]) for entry in logs] == [("debug", "X-Forwarded-Prefix")]


@pytest.mark.parametrize("prefix", ["", "/", "//"])
def test_an_empty_prefix_is_none(prefix: str) -> None:
    """A proxy that takes nothing away may say so."""
    assert trace(("X-Forwarded-Prefix", prefix)).prefix == ""


@pytest.mark.parametrize(("host", "kept"), [("r:80", "r:80"), ("[::1]:80", "[::1]:80"), ("a/b", ""), ("a b", "")])
def test_a_host_is_a_name_with_a_port(host: str, kept: str) -> None:
    """Whatever else a client sends as its host is not repeated."""
    assert PROXIES.trace("192.0.2.1", "http", Headers([("Host", host)])).host == kept


def test_an_address_is_one_however_it_is_written() -> None:
    """The same client has the same address in both forms."""
    assert address_of("::ffff:192.0.2.1") == address_of("192.0.2.1:80")


@pytest.fixture
async def behind(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that trusts this machine."""
    proxies = TrustedProxies([ip_network("127.0.0.0/8")])
    async with serving(nursery, proxies=proxies) as opened:
        yield opened


def places(answer: httpx.Response) -> list[str]:
    """Return where an answer sends its client."""
    links = re.findall("<([^>]+)>", answer.headers.get("Link", ""))
    return [*links, *([answer.headers["Location"]] if "Location" in answer.headers else [])]


async def every_place(replica: Replica, said: dict[str, str]) -> list[str]:
    """Ask for everything that has a Location or a Link, by the paths that the replica itself sees."""
    replica.client.headers.update(said)
    config, content = b"{}", image()
    await replica.push_blob(config)
    begun = await replica.client.post(UPLOADS)
    own = "/v2/" + begun.headers["Location"].partition("/v2/")[2].removeprefix("team-a/")
    answers = [
        begun,
        await replica.client.patch(own, content=b"12345"),
        await replica.client.patch(own, content=b"1", headers={"Content-Range": "9-9"}),
        await replica.client.post(UPLOADS, params={"digest": digest_of(b"x")}, content=b"x"),
        await replica.client.post(UPLOADS, params={"mount": digest_of(b"x"), "from": REPO}),
    ]
    for tag in ("a", "b"):
        url = f"/v2/{REPO}/manifests/{tag}"
        answers.append(await replica.client.put(url, content=content, headers={"Content-Type": OCI_IMAGE}))
    answers.append(await replica.client.get(f"/v2/{REPO}/tags/list?n=1"))
    await replica.push_blob(config, "z")
    await replica.push_image("a", repo="z")
    answers.append(await replica.client.get("/v2/_catalog?n=1"))
    assert [answer.status_code for answer in answers] == [202, 202, 416, 201, 201, 201, 201, 200, 200]
    found = [place for answer in answers for place in places(answer)]
    assert len(found) == len(answers)
    return found


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ({}, "/v2/"),
        ({"X-Forwarded-Prefix": "/registry"}, "/registry/v2/"),
        ({"X-Forwarded-Prefix": "/v2/team-a"}, "/v2/team-a/"),
        ({"X-Forwarded-Prefix": "/x/v2/team-a"}, "/x/v2/team-a/"),
        ({"X-Forwarded-Prefix": "/../x", "Forwarded": "nonsense", "X-Forwarded-For": "?"}, "/v2/"),
    ],
)
async def test_every_place_is_below_the_prefix(behind: Replica, said: dict[str, str], start: str) -> None:
    """Each Location and Link begins with what the proxy took away, and goes on as without it."""
    own = [start + rest for rest in (f"{REPO}/", "_catalog")]
    assert [place for place in await every_place(behind, said) if not place.startswith(tuple(own))] == []


async def test_a_client_that_is_no_proxy_has_no_prefix(replica: Replica) -> None:
    """Without trusted proxies, nothing that a client sends changes where it is sent."""
    said = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil", "Forwarded": "host=evil"}
    assert [place for place in await every_place(replica, said) if not place.startswith("/v2/")] == []


async def test_names_are_those_that_the_client_uses(behind: Replica) -> None:
    """Where `/v2/team-a/` became `/v2/`, lists name repositories below it, and a mount and a page find them there."""
    behind.client.headers["X-Forwarded-Prefix"] = "/v2/team-a"
    await behind.push_image("v1", repo="app")
    await behind.push_image("v1", repo="web")
    assert (await behind.client.get("/v2/app/tags/list")).json()["name"] == "team-a/app"
    assert (await behind.client.get("/v2/_catalog")).json() == {"repositories": ["team-a/app", "team-a/web"]}
    page = await behind.client.get("/v2/_catalog?n=1")
    assert page.json() == {"repositories": ["team-a/app"]}
    assert places(page) == ["/v2/team-a/_catalog?n=1&last=team-a%2Fapp"]
    rest = await behind.client.get("/v2/_catalog?n=1&last=team-a%2Fapp")
    assert rest.json() == {"repositories": ["team-a/web"]}
    mounted = await behind.client.post(
        "/v2/new/blobs/uploads/", params={"mount": digest_of(b"{}"), "from": "team-a/app"}
    )
    assert (mounted.status_code, mounted.headers["Location"]) == (201, f"/v2/team-a/new/blobs/{digest_of(b'{}')}")


async def test_the_client_is_told_of(behind: Replica) -> None:
    """The report of each request has the address of the client, not of its proxy, and what it asked."""
    said = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "r.example.com"}
    await behind.client.get("/v2/", headers=said)
    reached = (await behind.ended.receive()).reached
    assert (reached.client, reached.origin) == ("198.51.100.1", "https://r.example.com")
