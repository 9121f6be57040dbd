"""Replicas that are killed while clients push, and started again."""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.servers.processes import NotReady
from bench.servers.registry import RegistryServer

EVERY_S = 1.5
DOWN_S = 0.5
CLIENT_TRIES = 50
"""How often a client tries one thing. It waits a little between the tries, and one replica is always alive."""


class Chaos:
    """Kills one replica at a time, as `kill -9` does, and starts it again."""

    def __init__(self, replicas: Sequence[RegistryServer], seed: str) -> None:
        """Kill none yet."""
        self.kills = 0
        self.failures: list[str] = []
        self._replicas = replicas
        self._chance = random.Random(seed)
        self._over = threading.Event()

    @contextmanager
    def during(self) -> Iterator[None]:
        """Kill while the block runs; after it all replicas run."""
        thread = threading.Thread(target=self._kill_and_start)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _kill_and_start(self) -> None:
        while not self._over.wait(EVERY_S):
            replica = self._chance.choice(self._replicas)
            replica.process.kill()
            self.kills += 1
            self._over.wait(DOWN_S)
            try:
                replica.start()
            except NotReady as error:
                self.failures.append(str(error))
