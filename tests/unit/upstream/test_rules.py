"""What the client of upstreams decides without asking anybody."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.addresses import leads_inside
from zotpy.upstream.challenge import Challenge, read_challenges
from zotpy.upstream.errors import UpstreamBroken
from zotpy.upstream.login import LONGEST_LIFE_S, read_token
from zotpy.upstream.pages import next_page
from zotpy.upstream.waiting import remaining, retry_after_s, wait_before_retry_s

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "inside",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "localhost", "a.localhost."),
        *("169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255"),  # noqa: S104 - an address that is refused
        *("fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::ffff:100.100.100.200"),
    ],
)
def test_a_public_upstream_leads_nobody_inside(inside: str) -> None:
    """Only an upstream that is inside itself may lead there."""
    assert leads_inside([PUBLIC, inside], [PUBLIC])
    assert leads_inside([inside], [PUBLIC, "127.0.0.1"])
    assert not leads_inside([inside], ["127.0.0.1"])


@pytest.mark.parametrize("elsewhere", [PUBLIC, "10.0.0.1", "192.168.1.1", "fd00::1", "registry.example"])
def test_other_addresses_are_allowed(elsewhere: str) -> None:
    """A store of a cloud often has a private address."""
    assert not leads_inside([elsewhere], [PUBLIC])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ['Bearer realm="https://auth.example/token",service="a, b",scope="repository:a:pull"'],
            [("bearer", {"realm": "https://auth.example/token", "service": "a, b", "scope": "repository:a:pull"})],
        ),
        (['Basic realm="a", Bearer realm="b"'], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (['bearer Realm=plain , service = "x\\"y"'], [("bearer", {"realm": "plain", "service": 'x"y'})]),
        (["Negotiate", "Basic"], [("negotiate", {}), ("basic", {})]),
        (["Negotiate, Basic realm=a"], [("negotiate", {}), ("basic", {"realm": "a"})]),
        (['Bearer realm="open', "=", "", "Basic " + "a" * 9000], [("bearer", {})]),
    ],
)
def test_challenges(lines: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Several challenges may be on one line or on several; what cannot be read is left out."""
    found = [challenge for challenge in read_challenges(lines) if challenge.scheme != "realm"]
    assert found == [Challenge(scheme, parameters) for scheme, parameters in expected]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Sun, 29 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0.0),
        ("99999999999", 86400.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Both forms are read, and none asks for more than a day."""
    assert retry_after_s(header, NOW) == seconds


def test_waits_double_and_end() -> None:
    """After the last repetition, and if the upstream asks for too long a wait, nobody waits."""
    settings = UpstreamSettings("https://a", retries=4, retry_delay_s=2.0, longest_retry_delay_s=5.0)
    assert [wait_before_retry_s(settings, retries, None) for retries in range(5)] == [2.0, 4.0, 5.0, 5.0, None]
    assert wait_before_retry_s(settings, 0, 4.5) == 4.5
    assert wait_before_retry_s(settings, 0, 5.5) is None


@pytest.mark.parametrize(
    ("header", "left"), [("76;w=21600", 76), ("0", 0), ("x", None), (None, None), ("9" * 30, None)]
)
def test_the_rest_of_a_rate_limit(header: str | None, left: int | None) -> None:
    """Docker Hub writes the window behind it."""
    assert remaining(header) == left


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        (['</v2/a/tags/list?last=x&n=2>; rel="next"'], "/v2/a/tags/list?last=x&n=2"),
        (["<?last=x>; rel=next"], "/v2/a/tags/list?last=x"),
        (["<https://other.example/v2/a/tags/list?last=x>;rel=next"], "/v2/a/tags/list?last=x"),
        (['</first>; rel="first", </next>; title="a, b"; rel="prev next"'], "/next"),
        (["</first>; rel=first", "</next>; rel=next"], "/next"),
        (["</v2/a/tags/list>; rel=next"], None),
        (["</v2/a/tags/list?next>; rel=last"], None),
        (["</next>; rel=next" + " " * 9000], None),
        (["next"], None),
        (["</next>" + ";a=  " * 1000 + '"'], None),
        ([], None),
    ],
)
def test_links(lines: list[str], target: str | None) -> None:
    """A page that follows itself is the last one. No header takes long to read."""
    assert next_page("/v2/a/tags/list", lines) == target


@pytest.mark.parametrize("link", ["http://[", "//[::1", "?last=\x01", "/v2/\x7f"])
def test_links_that_cannot_be_read(link: str) -> None:
    """It is the upstream's fault."""
    with pytest.raises(UpstreamBroken, match="cannot be read"):
        next_page("/v2/a/tags/list", [f"<{link}>; rel=next"])


@pytest.mark.parametrize(
    ("answer", "life_s"),
    [
        (b'{"token": "t"}', 60.0),
        (b'{"access_token": "t", "expires_in": 300}', 300.0),
        (b'{"token": "t", "expires_in": -5}', 60.0),
        (b'{"token": "t", "expires_in": "300"}', 60.0),
        (b'{"token": "t", "expires_in": 1e99}', LONGEST_LIFE_S),
        (b'{"token": "t", "expires_in": 1' + b"0" * 400 + b"}", LONGEST_LIFE_S),
        (b'{"token": "t", "expires_in": NaN}', 60.0),
    ],
)
def test_how_long_a_token_lasts(answer: bytes, life_s: float) -> None:
    """A minute, if its service does not say it."""
    assert read_token(answer) == ("t", life_s)
