"""Sends a request as it is, over a connection of its own, and reads the answer."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.requests import Fuzzed

DEADLINE_S = 120.0
PLAIN = (b"/livez", b"/readyz", b"/startupz", b"/metrics")
"""What operators ask is answered in plain text."""
NEVER = frozenset({500, 502, 503, 504})
"""No request may be answered so while the store is well."""


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    content_type: str
    body: bytes


def exchange(port: int, fuzzed: Fuzzed, wire: bytes) -> Answer | None:
    """Send a request and return its answer; `None`: the connection ended without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client:
        size = max(1, len(wire) // fuzzed.pieces + 1)
        with suppress(ConnectionError):  # refused before all of it was sent
            for start in range(0, len(wire), size):
                client.sendall(wire[start : start + size])
            if not fuzzed.is_whole:
                client.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(client, method=fuzzed.method)
        try:
            response.begin()
            return Answer(response.status, response.headers.get("Content-Type", ""), response.read())
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            response.close()


def fault(fuzzed: Fuzzed, wire: bytes, answer: Answer | None) -> str:
    """Say what is wrong with an answer; empty: nothing."""
    if answer is None:
        return "no answer" if fuzzed.is_whole else ""
    if answer.status in NEVER:
        return f"answered {answer.status}"
    path = wire.split(b" ", 2)[1:2]
    if answer.status < http.client.BAD_REQUEST or fuzzed.method == "HEAD" or (path and path[0].startswith(PLAIN)):
        return ""
    try:
        errors = json.loads(answer.body)["errors"]
        is_envelope = bool(errors) and all(isinstance(error["code"], str) and error["message"] for error in errors)
    except (ValueError, KeyError, TypeError):
        is_envelope = False
    return "" if is_envelope and answer.content_type == "application/json" else "no envelope of the OCI spec"
