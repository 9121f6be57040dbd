"""Places for logins that wait: a number of them for all clients, of which each client may take only a share.

Without shares, one client that guesses passwords would take all places, and keep everybody else from logging in.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from zotpy.core.errors import TooManyRequests

RETRY_AFTER_S = 1
_ONE_CLIENT_BITS = 64
"""One client often has all IPv6 addresses that begin with these bits."""


@dataclass(slots=True)
class Places:
    """Some places."""

    most: int
    """How many there are."""
    per_client: int
    """How many of them one client may take. A client whose address is unknown has no share."""
    taken: int = field(default=0, init=False)
    _taken_by: Counter[str] = field(default_factory=Counter, init=False)

    @contextmanager
    def place_for(self, address: str) -> Iterator[None]:
        """Take a place for the block. Raises `TooManyRequests` if none is free, or the client has its share."""
        client = client_of(address)
        if self.taken >= self.most:
            msg = "too many logins are being checked: try again"
            raise TooManyRequests(msg, retry_after_s=RETRY_AFTER_S)
        if client and self._taken_by[client] >= self.per_client:
            msg = "too many logins from this address are being checked: try again"
            raise TooManyRequests(msg, retry_after_s=RETRY_AFTER_S)
        self.taken += 1
        self._taken_by[client] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._taken_by[client] -= 1
            if not self._taken_by[client]:
                del self._taken_by[client]


def client_of(address: str) -> str:
    """Return what addresses of one client have in common; empty if the text is no IP address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _ONE_CLIENT_BITS), strict=False))
