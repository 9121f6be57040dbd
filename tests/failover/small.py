"""Small images, pushed by the clients of `bench/clients` until it is enough."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Event
from typing import TYPE_CHECKING

from bench.clients.blobs import verify_blob
from bench.clients.connection import Refused
from bench.clients.images import Image, pull_manifest, push_image
from bench.clients.pool import Connections
from tests.blackbox.registry_api import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.clients.blobs import Flow

MOST_PUSHES = 10_000
"""Of one client: a test that never has enough ends here."""
BETWEEN_S = 0.5
"""How long a client rests after each push: more of them would show nothing else."""
FLOWS: tuple[Flow, ...] = ("docker", "length", "containerd")


@dataclass
class SmallImages:
    """What was pushed so far."""

    port: int
    enough: Event = field(default_factory=Event)
    pushed: dict[Flow, list[Image]] = field(default_factory=lambda: {flow: [] for flow in FLOWS})
    """The images by the client that has seen its last request acknowledged."""
    broken_off: int = 0
    """Pushes that failed."""
    _changed: Condition = field(default_factory=Condition)

    def push(self, flow: Flow) -> None:
        """Push as one kind of client does. These repeat no request: what broke off was not pushed."""
        connections = Connections(self.port)
        with ThreadPoolExecutor(2) as pool:
            for number in range(MOST_PUSHES):
                if self.enough.wait(BETWEEN_S):
                    break
                image = Image(flow, f"v{number}")
                try:
                    push_image(pool, connections, f"small/{flow}", image, flow)
                except (Refused, OSError):
                    with self._changed:
                        self.broken_off += 1
                    continue
                with self._changed:
                    self.pushed[flow].append(image)
                    self._changed.notify_all()
        connections.close()

    @property
    def count(self) -> int:
        """How many images were pushed so far."""
        return sum(map(len, self.pushed.values()))

    def wait_for_more(self, pushes: int) -> None:
        """Wait until that many more images are pushed."""
        with self._changed:
            wanted = self.count + pushes
            assert self._changed.wait_for(lambda: self.count >= wanted, DEADLINE_S), "the clients push nothing"

    @contextmanager
    def being_pushed(self) -> Iterator[None]:
        """Push with all kinds of clients beside the block, and wait for their ends."""
        with ThreadPoolExecutor(len(FLOWS)) as pool:
            try:
                under_way = [pool.submit(self.push, flow) for flow in FLOWS]
                yield
            finally:
                self.enough.set()
            for future in under_way:
                future.result()

    def read_back(self, port: int) -> None:
        """Read all that was acknowledged at this port, every byte."""
        connections = Connections(port)
        for flow, images in self.pushed.items():
            for image in images:
                with connections.lend() as connection:
                    assert pull_manifest(connection, f"small/{flow}", image.tag) == image.manifest, image.tag
                    for blob in image.blobs:
                        verify_blob(connection, f"small/{flow}", blob)
        connections.close()
