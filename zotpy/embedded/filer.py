"""Requests to SeaweedFS's filer, over its socket in our private directory: to sync bytes before it writes names.

So an object that has a name after a power cut has its bytes, too. Without this, a tag that was being moved at that
moment could lose both the manifest that it named before and the new one.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import trio

from zotpy.embedded.errors import EmbeddedStoreError

PLACE = "/etc/seaweedfs/filer.conf"
"""Where the filer keeps its rules, among the files that it serves. A change holds at once."""
RULES = json.dumps({"version": 1, "locations": [{"locationPrefix": "/", "fsync": True}]}).encode()
TIMEOUT_S = 30.0


async def sync_bytes_first(socket: Path) -> None:
    """Make the filer sync what it writes to volumes, from now on and after restarts. Raises `EmbeddedStoreError`."""
    try:
        with trio.fail_after(TIMEOUT_S):
            status, body = await _ask(socket, "GET", PLACE)
            if (status, body) == (HTTPStatus.OK, RULES):
                return
            # inside the filer's own records: no power cut comes between the name of the rules and their text
            status, body = await _ask(socket, "PUT", f"{PLACE}?saveInside=true", RULES)
    except (OSError, ValueError, trio.TooSlowError) as error:
        msg = f"SeaweedFS's filer does not answer on {socket}: {error!r}"
        raise EmbeddedStoreError(msg) from error
    if status != HTTPStatus.CREATED:
        msg = f"SeaweedFS's filer refused its rules: {status} {body.decode(errors='replace')}"
        raise EmbeddedStoreError(msg)


async def _ask(socket: Path, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send one request on a connection of its own. It uses HTTP/1.0, so the answer ends with the connection."""
    with _short(socket) as path:
        stream = await trio.open_unix_socket(path)
    async with stream:
        head = f"{method} {target} HTTP/1.0\r\nHost: filer\r\nContent-Type: application/json\r\n"
        await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = b"".join([piece async for piece in stream])
    first, _, answer = received.partition(b"\r\n\r\n")
    return int(first.split()[1]), answer


@contextmanager
def _short(socket: Path) -> Iterator[Path]:
    """Name a socket by its open directory: Linux takes no path of a socket over 107 bytes, and directories are deep."""
    if sys.platform != "linux":
        yield socket
        return
    directory = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{directory}/{socket.name}")
    finally:
        os.close(directory)
