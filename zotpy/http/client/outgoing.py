"""A request as it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass

from zotpy.core.pieces import Pieces
from zotpy.http.client.time_limits import AttemptTime

Body = bytes | bytearray | Pieces


@dataclass(eq=False, slots=True)
class Outgoing:
    """One request, which is sent once. It is equal to no other one."""

    method: str
    target: str
    headers: Mapping[str, str]
    """With `host`, and with the length of the body if it has one."""
    body: Body = b""
    time: AttemptTime | None = None
    """What limits the waits for the service; `None`: the connection limits each of them."""
