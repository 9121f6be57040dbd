"""Under which path a request is served, whatever form its target has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.web.raw import connect
from zotpy.http.server.targets import Target, TargetInvalid, read_target

if TYPE_CHECKING:
    from tests.unit.web.serving import Replica


@pytest.mark.parametrize(
    ("target", "path", "authority"),
    [
        (b"/v2/", b"/v2/", None),
        (b"/v2/a%2Fb?n=%20&x", b"/v2/a%2Fb?n=%20&x", None),
        (b"/http://h/v2/", b"/http://h/v2/", None),
        (b"*", b"*", None),
        (b"http://h/v2/", b"/v2/", b"h"),
        (b"HTTPS://[::1]:5000/v2/?n=1", b"/v2/?n=1", b"[::1]:5000"),
        (b"http://a.example:/x", b"/x", b"a.example:"),
        (b"http://h", b"/", b"h"),
        (b"http://h?n=1", b"/?n=1", b"h"),
        (b"http://h//v2/", b"//v2/", b"h"),
    ],
)
def test_a_path_is_what_follows_the_authority(target: bytes, path: bytes, authority: bytes | None) -> None:
    """Nothing is decoded: what a balancer has seen is what is served."""
    assert read_target(target) == Target(path, authority)


@pytest.mark.parametrize(
    "target",
    [
        *(b"http://h%2fx/v2/", b"http://h%2Fv2%2F/", b"http://h%3f/v2/", b"http://h%23/v2/", b"http://a@h/v2/"),
        *(b"http:///v2/", b"http:/v2/", b"http://h:port/v2/", b"http://[::1/v2/", b"http://h\\/v2/", b"http://?/v2/"),
        *(b"ftp://h/v2/", b"file:///v2/", b"ws://h/v2/", b"h:443", b"?n=1", b"v2/", b""),
        *(b"/v2/#x", b"http://h/v2/#x", b"http://h#/v2/", b"*#"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(target: bytes) -> None:
    """Percent signs and separators in an authority, fragments, and other schemes lead to no path."""
    with pytest.raises(TargetInvalid):
        read_target(target)


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "http://replica/v2/", 200, None),
        ("GET", "HTTPS://[::1]:5000/v2/?n=1", 200, None),
        ("GET", "http://replica", 200, None),
        ("GET", "*", 404, "NAME_UNKNOWN"),
        ("GET", "http://replica%2fx/v2/", 400, "UNSUPPORTED"),
        ("GET", "ftp://replica/v2/", 400, "UNSUPPORTED"),
        ("GET", "/v2/#", 400, "UNSUPPORTED"),
        ("GET", "?n=1", 400, "UNSUPPORTED"),
        ("CONNECT", "replica:443", 400, "UNSUPPORTED"),
        ("GET", "//v2/", 404, "NAME_UNKNOWN"),
        ("GET", "/%2fv2/", 404, "NAME_UNKNOWN"),
        ("get", "/v2/", 501, "UNSUPPORTED"),
        ("Head", "/v2/", 501, "UNSUPPORTED"),
        ("head", "/v2/team/app/manifests/latest", 501, "UNSUPPORTED"),
        ("FETCH", "/v2/", 405, "UNSUPPORTED"),
    ],
)
async def test_a_request_is_served_as_it_was_written(
    replica: Replica, method: str, target: str, status: int, code: str | None
) -> None:
    """A whole URL leads where its path does. No slash is removed, and no method becomes another."""
    client = await connect(replica)
    async with client.stream:
        await client.begin(method, target, None)
        with trio.fail_after(60):
            answered, body = await client.receive()
    assert answered == status
    if code is not None:
        assert [error["code"] for error in json.loads(body)["errors"]] == [code]


async def test_the_host_of_a_whole_url_counts(replica: Replica) -> None:
    """The Host header beside it says nothing (RFC 9112, section 3.2.2)."""
    client = await connect(replica)
    async with client.stream:
        await client.begin("GET", "http://registry.example:8443/v2/", None)
        with trio.fail_after(60):
            await client.receive()
            assert (await replica.ended.receive()).reached.host == "registry.example:8443"
