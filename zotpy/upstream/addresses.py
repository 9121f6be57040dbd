"""Which addresses an upstream may lead to, by a redirection or by naming its token service.

An upstream on the internet must not make us send requests to services that only this machine or its cloud can reach.
Such services are those on the loopback interface, and the metadata of a virtual machine, which has credentials. Private
networks are allowed, because stores of clouds have private addresses.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NAT64 = ip_network("64:ff9b::/96")
_METADATA = [
    ip_network(text)
    for text in ("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
]
"""AWS, Google, Alibaba, Azure and Oracle answer here, beside 169.254.169.254."""


def leads_inside(targets: Iterable[str], upstream: Iterable[str]) -> bool:
    """Say whether one of the `targets` is inside, although not all addresses of the `upstream` are.

    Both are IP addresses, or host names, of which only `localhost` has a meaning here.
    """
    return any(map(_is_inside, targets)) and not all(map(_is_inside, upstream))


def _is_inside(text: str) -> bool:
    host = text.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = _plain(ip_address(host.partition("%")[0]))
    except ValueError:
        return False
    special = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return special or any(address in network for network in _METADATA) or str(address) == "255.255.255.255"


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
