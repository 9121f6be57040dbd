"""What proxies say of a request's client, as far as they are trusted: `Forwarded` (RFC 7239) and X-Forwarded-*.

Any client can send these headers, so only those of a peer in the trusted networks count. Of a list of addresses only
what trusted proxies have added counts: it is read from its end. Malformed values are left out, and are no client's
error.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import structlog

from zotpy.core.quick import quickly_made
from zotpy.http.server.fields import Headers

MOST_HOPS = 32
"""No more addresses of a list than this are read."""
LONGEST_FORWARDED = 2048
LONGEST_PREFIX = 255
_LOGGED_CHARACTERS = 100
_PAIR = re.compile(r"""[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))[ \t]*)?([;,]|$)""", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_SCHEMES = frozenset({"http", "https"})

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

log = structlog.get_logger()


@quickly_made
@dataclass(frozen=True, slots=True)
class Reached:
    """How a client has reached this registry, as far as that can be believed; empty if it is unknown."""

    client: str = ""
    """Its IP address."""
    scheme: str = ""
    host: str = ""
    """Host name, with the port where it was given."""
    prefix: str = ""
    """What proxies removed from the path: `/registry`, or `/v2/team` if they made `/v2/` of `/v2/team/`."""
    peer: str = field(default="", compare=False)
    """The IP address at the other end of the connection: that of the client, or of the proxy nearest to us."""

    is_by_proxy: bool = field(default=False, compare=False)
    """The peer is a trusted proxy."""

    @property
    def origin(self) -> str:
        """The scheme and host that the client asked, such as `https://registry.example.com`."""
        return f"{self.scheme}://{self.host}" if self.host else ""


class TrustedProxies:
    """The networks of the proxies that are believed."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def trace(self, peer: str, scheme: str, headers: Headers) -> Reached:
        """Say how a client has reached us through its `peer`, which is an address or, with a local socket, nothing."""
        host = headers.get("Host", "")
        reached = Reached(peer, scheme, host if _HOST.fullmatch(host) else "", peer=peer)
        if not self._networks or not self._trusts(address_of(peer)):
            return reached
        reached = replace(reached, is_by_proxy=True)
        if any(f"X-Forwarded-{name}" in headers for name in ("For", "Proto", "Host")):
            reached = self._by_x_forwarded(reached, headers)
        elif "Forwarded" in headers:
            reached = self._by_forwarded(reached, ",".join(headers.getlist("Forwarded")))
        return replace(reached, prefix=_prefix(headers))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _by_x_forwarded(self, reached: Reached, headers: Headers) -> Reached:
        """Most proxies set these, and pass on whatever else a client sends. So they come before `Forwarded`."""
        client = reached.client
        for text in reversed(_listed(headers, "X-Forwarded-For")[-MOST_HOPS:]):
            if (address := address_of(text)) is None:
                _ignore("X-Forwarded-For", text)
                break
            client = str(address)
            if not self._trusts(address):
                break
        scheme, host = _last(headers, "X-Forwarded-Proto").lower(), _last(headers, "X-Forwarded-Host")
        if scheme and scheme not in _SCHEMES:
            _ignore("X-Forwarded-Proto", scheme)
        if host and not _HOST.fullmatch(host):
            _ignore("X-Forwarded-Host", host)
        return replace(
            reached,
            client=client,
            scheme=scheme if scheme in _SCHEMES else reached.scheme,
            host=host if _HOST.fullmatch(host) else reached.host,
        )

    def _by_forwarded(self, reached: Reached, text: str) -> Reached:
        """Go from the last element to the first that names a peer that we do not trust: the client."""
        try:
            elements = list(forwarded_elements(text))
        except ValueError:
            _ignore("Forwarded", text)
            return reached
        for element in reversed(elements[-MOST_HOPS:]):
            scheme, host = element.get("proto", "").lower(), element.get("host", "")
            reached = replace(
                reached,
                scheme=scheme if scheme in _SCHEMES else reached.scheme,
                host=host if _HOST.fullmatch(host) else reached.host,
            )
            address = address_of(element.get("for", ""))
            if address is None:  # "unknown", or a name that only its proxy understands
                break
            reached = replace(reached, client=str(address))
            if not self._trusts(address):
                break
        return reached


def address_of(text: str) -> Address | None:
    """Read an IP address, with or without a port, or with brackets; an IPv4 address may be written as an IPv6 one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def forwarded_elements(text: str) -> Iterator[Mapping[str, str]]:
    """Read the elements of `Forwarded` (RFC 7239, section 4), names in lower case; raises `ValueError`."""
    if len(text) > LONGEST_FORWARDED:
        raise ValueError(text)
    element: dict[str, str] = {}
    position, end = 0, None
    while end != "":
        match = _PAIR.match(text, position)
        if match is None:
            raise ValueError(text)
        name, quoted, plain, end = match.groups()
        if name:
            element[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if end != ";" and element:
            yield element
            element = {}
        position = match.end()


def _prefix(headers: Headers) -> str:
    """Read X-Forwarded-Prefix, without anything that could lead a client elsewhere than below this host."""
    text = _last(headers, "X-Forwarded-Prefix")
    prefix = text.rstrip("/")
    if not prefix:
        return ""
    is_good = len(prefix) <= LONGEST_PREFIX and _PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/"))
    if not is_good:
        _ignore("X-Forwarded-Prefix", text)
        return ""
    return prefix


def _listed(headers: Headers, name: str) -> list[str]:
    """Split a list that may be in several headers."""
    return [item.strip() for value in headers.getlist(name) for item in value.split(",")]


def _last(headers: Headers, name: str) -> str:
    """Return what the nearest proxy, our peer, has said."""
    listed = _listed(headers, name)
    return listed[-1] if listed else ""


def _ignore(name: str, text: str) -> None:
    log.debug("header_ignored", header=name, value=text[:_LOGGED_CHARACTERS])
