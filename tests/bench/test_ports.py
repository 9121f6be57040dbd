"""Ports for servers that tests and benchmarks start a moment later."""

from __future__ import annotations

import socket
from contextlib import suppress

from bench.servers.processes import free_port
from bench.servers.stores import GRPC_OFFSET, free_port_pairs

ASKED = 300
"""Of 10,000 ports drawn at random, some would come twice."""


def test_no_port_is_given_twice() -> None:
    """Nobody listens yet on those that were given before."""
    assert len({free_port() for _ in range(ASKED)}) == ASKED
    pairs = [port for _ in range(ASKED // 3) for port in free_port_pairs(3)]
    assert len({*pairs, *(port + GRPC_OFFSET for port in pairs)}) == 2 * ASKED


def test_a_port_that_is_held_is_passed_over() -> None:
    """The next one that is free comes in its place."""
    port = free_port()
    with socket.socket() as held:
        with suppress(OSError):  # then another program holds it
            held.bind(("127.0.0.1", port + 1))
        assert free_port() != port + 1
