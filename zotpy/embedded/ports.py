"""The ports of the embedded store, all on the loopback interface."""

import json
import random
import socket
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from zotpy.core.json_objects import read_object
from zotpy.embedded.directory import write_private

GRPC_OFFSET = 10_000
"""For each port, SeaweedFS also takes the one that is this much higher."""
RANGE = range(11_000, 21_000)
"""With the offset they are still below the ports that Linux uses for outgoing connections."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each service of SeaweedFS."""

    s3: int
    filer: int
    master: int
    volume: int


def choose_ports(path: Path) -> Ports:
    """Return the ports of the last run if they are free, otherwise others, which are remembered for the next run."""
    try:
        ports = ports_of_last_run(path)
        if all(map(_is_free, astuple(ports))):
            return ports
    except (OSError, ValueError, TypeError):
        pass
    candidates = (port for port in random.sample(RANGE, len(RANGE)) if _is_free(port))
    ports = Ports(next(candidates), next(candidates), next(candidates), next(candidates))
    write_private(path, json.dumps(asdict(ports)).encode())
    return ports


def ports_of_last_run(path: Path) -> Ports:
    """Return the ports that a store runs on, or ran last. Raises `OSError`, `ValueError`, `TypeError`."""
    return Ports(**read_object(path.read_bytes()))


def _is_free(port: int) -> bool:
    try:
        for number in (port, port + GRPC_OFFSET):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", number))
    except OSError:
        return False
    return True
