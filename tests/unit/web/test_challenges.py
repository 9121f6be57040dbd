"""Where a client is told to get a token: by what name it knows the registry, and what it needs the token for."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.desks import SERVICE, TOKEN_PATH, giving
from zotpy.http.server.proxies import TrustedProxies

if TYPE_CHECKING:
    import httpx
    import trio

BASIC = 'Basic realm="Our registry"'
TRUSTED = TrustedProxies([ip_network("127.0.0.0/8")])


def bearer(realm: str, scope: str = "") -> str:
    """Return the first line."""
    return f'Bearer realm="{realm}",service="{SERVICE}"' + (f',scope="{scope}"' if scope else "")


def challenges(answer: httpx.Response) -> list[str]:
    """Return the lines of a refusal."""
    assert answer.status_code == 401, answer.text
    return answer.headers.get_list("WWW-Authenticate")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v2/", ""),
        ("HEAD", "/v2", ""),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("HEAD", "/v2/hidden/x/manifests/v1", "repository:hidden/x:pull"),
        ("GET", "/v2/hidden/x/blobs/sha256:1", "repository:hidden/x:pull"),
        ("GET", "/v2/hidden/x/tags/list", "repository:hidden/x:pull"),
        ("GET", "/v2/hidden/x/referrers/sha256:1", "repository:hidden/x:pull"),
        ("POST", "/v2/hidden/x/blobs/uploads/", "repository:hidden/x:pull,push"),
        ("PATCH", "/v2/hidden/x/blobs/uploads/1", "repository:hidden/x:pull,push"),
        ("PUT", "/v2/hidden/x/manifests/v1", "repository:hidden/x:pull,push"),
        ("DELETE", "/v2/hidden/x/blobs/uploads/1", "repository:hidden/x:pull,push"),
        ("DELETE", "/v2/hidden/x/manifests/v1", "repository:hidden/x:delete"),
        ("GET", "/metrics", ""),
    ],
)
async def test_each_request_names_the_scope_that_it_needs(
    nursery: trio.Nursery, method: str, path: str, scope: str
) -> None:
    """Bearer is the only challenge to registry clients, and there is no `error` without a token.

    docker's daemon answers every challenge that it is given, and gives up at Basic if it has no password.
    """
    rules = {"repositories": {"hidden/**": {"defaultPolicy": ["read"]}}}
    async with giving(nursery, rules) as scene:
        realm = f"http://127.0.0.1:{scene.replica.port}{TOKEN_PATH}"
        answer = await scene.client.request(method, path)
        expected = [bearer(realm, scope), *([] if path.startswith("/v2") else [BASIC])]
        assert challenges(answer) == expected
        wrong = await scene.client.request(method, path, auth=("alice", "wrong"))
        assert challenges(wrong) == expected


@pytest.mark.parametrize(
    ("headers", "realm", "name"),
    [
        ({"Host": "r.example.com"}, f"http://r.example.com{TOKEN_PATH}", ""),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "r.example.com"}, f"https://r.example.com{TOKEN_PATH}", ""),
        ({"Forwarded": "proto=https;host=r.example.com"}, f"https://r.example.com{TOKEN_PATH}", ""),
        (
            {"X-Forwarded-Proto": "https", "Host": "r.example.com", "X-Forwarded-Prefix": "/registry"},
            f"https://r.example.com/registry{TOKEN_PATH}",
            "",
        ),
        (
            {"X-Forwarded-Proto": "https", "Host": "r.example.com", "X-Forwarded-Prefix": "/v2/group"},
            f"https://r.example.com{TOKEN_PATH}",
            "group/",
        ),
        (
            {"X-Forwarded-Proto": "https", "Host": "r.example.com", "X-Forwarded-Prefix": "/a/v2/group"},
            f"https://r.example.com/a{TOKEN_PATH}",
            "group/",
        ),
    ],
)
async def test_a_trusted_proxy_says_how_the_client_reaches_us(
    nursery: trio.Nursery, headers: dict[str, str], realm: str, name: str
) -> None:
    """The realm is below what the client asked, and the scope has the name that the client knows."""
    async with giving(nursery, proxies=TRUSTED) as scene:
        answer = await scene.client.get("/v2/hidden/x/tags/list", headers=headers)
        assert challenges(answer) == [bearer(realm, f"repository:{name}hidden/x:pull")]


async def test_a_proxy_that_nobody_trusts_makes_no_realm(nursery: trio.Nursery) -> None:
    """If it ends TLS, a realm with `http` would send passwords in the clear. Basic works without one."""
    async with giving(nursery) as scene:
        headers = {"X-Forwarded-Proto": "https", "Host": "r.example.com"}
        assert challenges(await scene.client.get("/v2/", headers=headers)) == [BASIC]
        headers = {"X-Forwarded-Host": "evil.example.com", "Host": "r.example.com"}
        assert challenges(await scene.client.get("/v2/", headers=headers))[0] == bearer(
            f"http://r.example.com{TOKEN_PATH}"
        )


async def test_a_configured_url_comes_before_what_requests_say(nursery: trio.Nursery) -> None:
    """`http.externalUrl` is the operator's word."""
    realm = f"https://r.example.com{TOKEN_PATH}"
    async with giving(nursery, realm=realm, proxies=TRUSTED) as scene:
        headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "other.example.com"}
        assert challenges(await scene.client.get("/v2/", headers=headers)) == [bearer(realm)]


async def test_a_name_behind_a_prefix_is_that_of_the_registry(nursery: trio.Nursery) -> None:
    """A proxy that removes a part of the names does so for the endpoint as well, and the token counts below it."""
    async with giving(nursery, proxies=TRUSTED) as scene:
        prefix = {"X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/v2/group"}
        asked = {"scope": "repository:group/public/b:pull"}
        token = (await scene.client.get(TOKEN_PATH, params=asked, headers=prefix)).json()["token"]
        headers = {**prefix, "Authorization": f"Bearer {token}"}
        answer = await scene.client.get("/v2/public/b/tags/list", headers=headers)
        assert answer.status_code == 404, answer.text
