"""A cache is filled, and what it holds is compared with its digest, before `cached pull` measures anything."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing, contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING

from bench.clients.endpoint import loopback
from bench.load.clients import Client
from bench.load.spec import Load, Sizes, Target
from bench.load.warming import MOST_PULLS, cache_reads, seed_kept
from bench.servers.null import Answer, NullRegistry, NullServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = Sizes(layer_bytes=64 << 10)
LAYERS = SIZES.image_layers


class Counting(NullRegistry):
    """A registry whose reads of large blobs have these outcomes, one after the other."""

    def __init__(self, outcomes: Iterator[str] | None) -> None:
        """Without outcomes it has no cache, and no series of it."""
        super().__init__()
        self.outcomes = outcomes
        self.reads: Counter[str] = Counter()
        self.pulled = 0

    def answer(self, method: str, target: str, body: bytes, body_bytes: int) -> Answer:
        """Count the reads, and say how many there were."""
        if target == "/metrics":
            lines = [f'zotpy_cache_reads_total{{outcome="{name}"}} {count}.0' for name, count in self.reads.items()]
            return Answer(200, body="\n".join(["# TYPE zotpy_cache_reads counter", *lines, ""]).encode())
        answer = super().answer(method, target, body, body_bytes)
        if method == "GET" and answer.length > SIZES.small_bytes[1]:
            self.pulled += 1
            if self.outcomes is not None:
                self.reads[next(self.outcomes)] += 1
        return answer


@contextmanager
def a_client_of(registry: NullRegistry) -> Iterator[Client]:
    """Run the registry, and give a client of it."""
    with NullServer(0, registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        endpoint = loopback(server.server_address[1])
        try:
            with closing(Client(Load("cached pull", Target(endpoint.url), "seed", 1, sizes=SIZES), endpoint, 0)) as one:
                yield one
        finally:
            server.shutdown()
            thread.join()


def test_it_pulls_until_all_layers_come_from_the_cache() -> None:
    """A pull that fills a layer, or shares a download of one, leaves something to be done."""
    registry = Counting(chain(["filled", "filled", "hit", "shared"], repeat("hit")))
    with a_client_of(registry) as client:
        seed_kept(client)
        assert cache_reads(client) == {"filled": 2, "hit": 3, "shared": 1}
    assert (registry.pulled, client.journal.errors) == (3 * LAYERS, [])


def test_a_registry_without_a_cache_is_pulled_from_once() -> None:
    """There is nothing to wait for."""
    registry = Counting(None)
    with a_client_of(registry) as client:
        seed_kept(client)
    assert (registry.pulled, client.journal.errors) == (LAYERS, [])


def test_a_cache_that_keeps_nothing_is_an_error() -> None:
    """Otherwise pulls from the store would be measured as those from the cache."""
    registry = Counting(repeat("passed"))
    with a_client_of(registry) as client:
        seed_kept(client)
    assert registry.pulled == MOST_PULLS * LAYERS
    assert client.journal.errors == [f"after {MOST_PULLS} pulls the layers do not come from the cache"]
