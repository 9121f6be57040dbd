"""Whose certificate it is: zot's words for where the name stands, and what a proxy writes of a certificate."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.web.authorities import Authority
from zotpy.auth.certificates import Naming, Subject, subject_of, subject_of_forwarded
from zotpy.config.certificates import read_identity_attributes, read_proxy_header, read_uri_pattern
from zotpy.core.errors import Unauthorized
from zotpy.settings import MtlsSettings

if TYPE_CHECKING:
    from tests.unit.web.authorities import Issued

AUTHORITY = Authority()
WHOLE = AUTHORITY.issue(("C", "DE"), ("CN", "alice"), uris=["https://a/b"], emails=["a@b"], dns_names=["a.b"]).der
EVERYWHERE = MtlsSettings(("email", "uri", "dnsname", "subject", "commonname"))
PIECES = [*'",;=\\ %+ä', "Subject=", "Cert=", "URI=", "DNS=", "CN=", "#0401", "\\2C", "-----BEGIN CERTIFICATE-----"]
SPIFFE = "spiffe://example.org/workload/{}"


@pytest.fixture(scope="module")
def issued() -> Issued:
    """Return a certificate with names of each kind, two of most."""
    return AUTHORITY.issue(
        ("C", "DE"),
        ("O", "Acme"),
        ("CN", "first"),
        ("CN", "alice"),
        uris=["https://example.org/alice", SPIFFE.format("alice-job")],
        emails=["a@example.org", "b@example.org"],
        dns_names=["one.example.org", "two.example.org"],
    )


@pytest.mark.parametrize(
    ("words", "others", "name"),
    [
        (["CommonName"], {}, "alice"),
        (["cn"], {}, "alice"),
        (["Subject"], {}, "CN=alice,CN=first,O=Acme,C=DE"),
        (["DN"], {}, "CN=alice,CN=first,O=Acme,C=DE"),
        (["Email"], {}, "a@example.org"),
        (["rfc822name"], {"email_index": 1}, "b@example.org"),
        (["DNSName"], {}, "one.example.org"),
        (["dns"], {"dns_index": 1}, "two.example.org"),
        (["URI"], {}, "https://example.org/alice"),
        (["URL"], {"uri_index": 1}, SPIFFE.format("alice-job")),
        (["URI"], {"uri_index": 1, "uri_pattern": re.compile("spiffe://example.org/workload/(.*)")}, "alice-job"),
        (["URI", "CN"], {"uri_pattern": re.compile("spiffe://example.org/workload/(.*)")}, "alice"),
        (["Email", "CN"], {"email_index": 2}, "alice"),
    ],
)
def test_a_user_is_named_by_the_first_attribute_that_there_is(
    issued: Issued, words: list[str], others: dict[str, object], name: str
) -> None:
    """The words and their synonyms are zot's. Of several names of one kind the index chooses."""
    settings = MtlsSettings(read_identity_attributes(words), **others)  # type: ignore[arg-type]
    identity = Naming(settings).identify(subject_of(issued.der))
    assert (identity.name, identity.kind, identity.groups) == (name, "mtls", frozenset())


@pytest.mark.parametrize(
    "names", [[("O", "Acme")], [("CN", "a\nb")], [("CN", "a\x00b")], [("CN", "\u202ebob")], []], ids=repr
)
def test_a_certificate_without_a_good_name_is_refused(names: list[tuple[str, str]]) -> None:
    """It is not the login of an anonymous caller."""
    with pytest.raises(Unauthorized, match="names no user"):
        Naming(MtlsSettings()).identify(subject_of(AUTHORITY.issue(*names).der))


def test_a_name_is_bounded() -> None:
    """The name may be as long as that of a user with a password."""
    assert Naming(MtlsSettings()).identify(Subject("", "x" * 256)).name == "x" * 256
    with pytest.raises(Unauthorized):
        Naming(MtlsSettings()).identify(Subject("", "x" * 257))


def test_an_expired_certificate_is_refused() -> None:
    """It is refused even if the connection began before the certificate expired, or if the proxy does not look."""
    with pytest.raises(Unauthorized, match="expired"):
        Naming(MtlsSettings()).identify(subject_of(AUTHORITY.issue(("CN", "alice"), days=-1).der))


def test_what_is_no_certificate_is_refused() -> None:
    """Whatever the bytes are."""
    der = AUTHORITY.issue(("CN", "alice")).der
    for broken in (b"", b"x", der[:-1], der + b"x", der[5:]):
        with pytest.raises(Unauthorized, match="cannot be read"):
            subject_of(broken)


def test_a_proxy_says_what_it_saw(issued: Issued) -> None:
    """The certificate, or its names."""
    whole = subject_of_forwarded(f'By=x;Hash=ab;Cert="{quote(issued.pem)}";Subject="CN=other";URI=spiffe://a;DNS=b')
    assert whole == subject_of(issued.der)
    parts = subject_of_forwarded('By=x;Hash=ab;Subject="CN=alice,O=Acme";URI=spiffe://a/b;DNS=a;DNS=b')
    assert parts == Subject("CN=alice,O=Acme", "alice", uris=("spiffe://a/b",), dns_names=("a", "b"))
    assert subject_of_forwarded('By=a;By=b;Hash=ab;Subject="";URI=spiffe://a/b') == Subject("", uris=("spiffe://a/b",))
    with pytest.raises(Unauthorized, match="names no user"):
        Naming(MtlsSettings()).identify(subject_of_forwarded("Hash=ab"))


@pytest.mark.parametrize(
    ("written", "name", "common_name"),
    [
        (r"CN=x\,CN=admin", r"CN=x\,CN=admin", "x,CN=admin"),
        (r"CN=x\"\,Subject=\"CN=admin", r"CN=x\"\,Subject=\"CN=admin", 'x",Subject="CN=admin'),
        (r"CN=x\\\"", r"CN=x\\\"", 'x\\"'),
        (r"CN=alice,O=Acme\; Sons", r"CN=alice,O=Acme\; Sons", "alice"),
        (r"CN=J\C3\BCrgen", "CN=Jürgen", "Jürgen"),
        ("emailAddress=a@b,CN=alice,serialNumber=5", "1.2.840.113549.1.9.1=a@b,CN=alice,2.5.4.5=5", "alice"),
        ("CN=alice+O=Acme", "CN=alice+O=Acme", "alice"),
    ],
)
def test_a_subject_is_read_as_envoy_writes_it(written: str, name: str, common_name: str) -> None:
    """As in RFC 4514, between two quotes, and with no other backslashes than its own. Seen at Envoy 1.40."""
    assert subject_of_forwarded(f'Hash=ab;Subject="{written}";URI=') == Subject(name, common_name, uris=("",))


@pytest.mark.parametrize(
    "text",
    [
        'Hash=a;Subject="CN=eve";URI=x,Subject="CN=admin"',
        'Hash=a;Subject="CN=eve";URI=x,By=y;Hash=b;Subject="CN=admin";URI=',
        'Hash=a;URI=x;Subject="CN=admin"',
        "Hash=a;URI=x;Cert=y",
        "Hash=a;DNS=x;URI=spiffe://admin",
        'Hash=a;Subject="CN=eve";Subject="CN=admin"',
        "Hash=a;URI=x;Hash=b",
        'By=x;Subject="CN=admin",Hash=ab;Subject="CN=eve"',
    ],
)
def test_a_name_in_a_certificate_is_no_element_and_no_pair_of_its_own(text: str) -> None:
    """Envoy puts no quotes around such names, so a certificate could say what it likes after its own."""
    with pytest.raises(Unauthorized, match="cannot be read"):
        subject_of_forwarded(text)


@pytest.mark.parametrize(
    "text",
    ["", "x", "Subject", 'Subject="CN=a', 'Subject="CN=a"x', 'Subject="nothing"', "Cert=x", "a=b;;c=d", ",", "a=b,"],
)
def test_what_no_proxy_writes_is_refused(text: str) -> None:
    """It names nobody."""
    with pytest.raises(Unauthorized, match="cannot be read"):
        subject_of_forwarded(text)


@pytest.mark.parametrize(
    "text", ["a=" + " " * 30_000 + '"', "a=b;" * 8_000, 'a="' + "\\" * 30_000, " " * 32_000, "," * 32_000]
)
def test_a_long_header_holds_nothing_up(text: str) -> None:
    """The work grows with the length alone: CPU time of this thread, with much room."""
    began = time.thread_time()
    with pytest.raises(Unauthorized):
        subject_of_forwarded(text)
    assert time.thread_time() - began < 2.0


@pytest.mark.parametrize(
    "text", [r"^spiffe://([^/]+)/ns/(.*)$", "(.*)", r"workload/(\w+)$", r"(a{1,3})b?", "(?:x)(y+)?"]
)
def test_usual_patterns_are_taken(text: str) -> None:
    """A pattern may have the name in a group."""
    assert read_uri_pattern(text) == re.compile(text, re.ASCII)
    assert read_uri_pattern("") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(a+)+$", "a repeat in it"),
        ("((a*)b)*", "a repeat in it"),
        ("(?:(a+)x){2,}", "a repeat in it"),
        ("(.*)(.*)(.*)(.*)x", "4 repeats without a bound"),
        ("(", "not a regular expression"),
        ("abc", "put the name into a group"),
        (5, "in quotes"),
        ("(x)" * 200, "write a regular expression"),
    ],
)
def test_patterns_that_could_hold_a_replica_are_refused(text: object, problem: str) -> None:
    """Repeats of repeats, and more than three repeats that compete."""
    with pytest.raises(ValueError, match=problem):
        read_uri_pattern(text)


def test_words_are_read() -> None:
    """The words may also come from a variable. Other words are refused."""
    assert read_identity_attributes('["URI", "cn"]') == ("uri", "commonname")
    assert read_identity_attributes("URI, cn") == ("uri", "commonname")
    wrongs: list[object] = [[], "", ["serial"], {}, 5, [1]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="write a list of CommonName"):
            read_identity_attributes(wrong)
    assert read_proxy_header("client-cert") == "Client-Cert"
    with pytest.raises(ValueError, match="write Client-Cert or X-Forwarded-Client-Cert"):
        read_proxy_header("X-SSL-Cert")


@pytest.mark.filterwarnings("ignore")  # the library warns of odd certificates that it reads
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), end=st.integers(0, 10_000))
def test_damaged_certificates_are_refused_or_read(changes: list[tuple[int, int]], end: int) -> None:
    """Whatever a proxy passes on is no fault of ours."""
    damaged = bytearray(WHOLE)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    with suppress(Unauthorized):
        Naming(EVERYWHERE).identify(subject_of(bytes(damaged[: max(end, 1)])))


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_any_forwarded_text_is_refused_or_read(pieces: list[str]) -> None:
    """Any text in the header of Envoy is refused or read."""
    with suppress(Unauthorized):
        Naming(EVERYWHERE).identify(subject_of_forwarded("".join(pieces)))
