"""First pulls from upstreams that answer with something else: the client learns that it is not the registry's fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.mirror.failing import CONFIG_DIGEST, V1, pulled_until_settled
from tests.unit.mirror.support import LAYER, LAYER_PATH, NAME, TAG_THERE, give, mirrored, mirroring
from tests.unit.s3.scripted import Drop, Reply
from tests.unit.upstream.upstreams import Upstream

if TYPE_CHECKING:
    from tests.unit.s3.scripted import Answered

PATHS = (TAG_THERE, f"/v2/{NAME}/blobs/{CONFIG_DIGEST}", LAYER_PATH)
LONG = "x" * 65_000
STATUSES = (206, 301, 400, 401, 403, 404, 416, 429, 500, 502, 503, 505)
BODIES = (
    Drop(),
    Reply(200, LAYER, cut_to=0),
    Reply(200, LAYER, cut_to=1),
    Reply(200, b""),
    Reply(200, LAYER[:-1] + b"x"),
    Reply(200, LAYER + b"x"),
    Reply(200, b"{}", chunked=True),
    Reply(200, V1, {"Content-Type": "x;"}),
    Reply(429, b"", {"Retry-After": "-1"}),
    Reply(503, b"\xff", {"Retry-After": "9" * 400, "ratelimit-remaining": "x"}),
)
PLACES = ("mailto:x", "http:x", "//", "http://[", "http://xn--/", "/", "?", "ftp://h/", f"/{LONG}", "http://h:x/")
REALMS = ("mailto:x", f"/{LONG}", "http://[", "", "http://127.0.0.1:x/")


async def assert_no_fault(answer: Answered) -> None:
    """Pull from an upstream that answers one request so, for each request in turn. No answer of ours is a 500."""
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        for path in PATHS:
            give(upstream, V1)
            upstream.scripts[path] = [answer]
            async with mirroring(nursery, [mirrored(upstream.url)]) as replica:
                await pulled_until_settled(replica)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_of_an_upstream(status: int) -> None:
    """Whatever it says is no fault of ours."""
    await assert_no_fault(Reply(status, b"nothing that was asked for"))


@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_a_body_of_an_upstream(number: int) -> None:
    """It breaks off, is too long, has other bytes, or headers that cannot be read."""
    await assert_no_fault(BODIES[number])


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[:20])
async def test_an_upstream_leads_nowhere(place: str) -> None:
    """Some of these places are refused by httpx, before anybody follows them."""
    await assert_no_fault(Reply(307, b"", {"Location": place}))


@pytest.mark.parametrize("realm", REALMS, ids=lambda realm: realm[:20])
async def test_an_upstream_names_no_token_service(realm: str) -> None:
    """One of these URLs is too long only with the parameters of the question."""
    await assert_no_fault(Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="{realm}",service="{"y" * 400}"'}))
