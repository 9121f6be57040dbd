"""Real clients that push and pull until they are told that it is enough, and those of `bench/clients` beside them."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Event
from typing import TYPE_CHECKING

from tests.blackbox.images import stored_blobs
from tests.blackbox.registry_api import DEADLINE_S, http_client, pulled_blobs
from tests.failover.content import new_image
from tests.failover.small import FLOWS, MOST_PUSHES, SmallImages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.failover.farm import Farm

    Push = Callable[[Path, str], object]
    """Pushes the layout at a path to a reference; returns once the client has ended with exit status 0."""
    Pull = Callable[[str, Path], object]
    """Pulls a reference into a new directory."""

BETWEEN_S = 2.0
"""How long a client rests after each image, so that the machine is not full of pushes that show nothing else."""


@dataclass
class Load:
    """What was pushed so far, and what became of it."""

    farm: Farm
    directory: Path
    enough: Event = field(default_factory=Event)
    images: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    """The blobs of each image by repository and tag, once its client said that it is pushed."""
    pulls: int = 0
    _changed: Condition = field(default_factory=Condition)

    def __post_init__(self) -> None:
        """Push small images, too, as long as these."""
        self.small = SmallImages(self.farm.edge.port, self.enough)

    def wait_for_more(self, pushes: int) -> None:
        """Wait until the real clients have pushed that many more images."""
        with self._changed:
            wanted = len(self.images) + pushes
            came = self._changed.wait_for(lambda: len(self.images) >= wanted or self.enough.is_set(), DEADLINE_S)
        assert came, "the clients push nothing"

    def push_images(self, client: str, push: Push) -> None:
        """Push image after image; the client must succeed with each."""
        for number in self._until_enough():
            layout = new_image(self.directory / f"{client}-{number}", f"{client}/{number}")
            push(layout.path, f"{self.farm.edge.plain}/{client}/app:{number}")
            blobs = stored_blobs(layout.path)
            shutil.rmtree(layout.path)
            with self._changed:
                self.images[f"{client}/app", str(number)] = blobs
                self._changed.notify_all()

    def pull_images(self, client: str, pull: Pull) -> None:
        """Pull the newest image again and again; the client must succeed each time and get every byte."""
        self.wait_for_more(1)
        for number in self._until_enough():
            with self._changed:
                repository, tag = list(self.images)[-1]
            target = self.directory / f"{client}-{number}"
            pull(f"{self.farm.edge.plain}/{repository}:{tag}", target)
            assert stored_blobs(target) == self.images[repository, tag]
            shutil.rmtree(target)
            self.pulls += 1

    def read_back(self) -> None:
        """Read all that was acknowledged, every byte, each image from two replicas."""
        replicas = self.farm.replicas
        for number, ((repository, tag), blobs) in enumerate(self.images.items()):
            for replica in (replicas[number % len(replicas)], replicas[(number + 1) % len(replicas)]):
                with http_client(replica.url) as client:
                    assert pulled_blobs(client, repository, tag) == blobs
        self.small.read_back(replicas[-1].port)

    def _until_enough(self) -> Iterator[int]:
        for number in range(MOST_PUSHES):
            if self.enough.wait(BETWEEN_S):
                return
            yield number


@contextmanager
def working(load: Load, pushes: Mapping[str, Push], pulls: Mapping[str, Pull]) -> Iterator[None]:
    """Let all clients work beside the block, and wait for their ends."""
    with ThreadPoolExecutor(len(pushes) + len(pulls) + len(FLOWS)) as pool:
        try:
            under_way = [pool.submit(load.push_images, name, push) for name, push in pushes.items()]
            under_way += [pool.submit(load.pull_images, name, pull) for name, pull in pulls.items()]
            under_way += [pool.submit(load.small.push, flow) for flow in FLOWS]
            for future in under_way:
                future.add_done_callback(lambda _: load.enough.set())  # one that fails ends all
            yield
        finally:
            load.enough.set()
        for future in under_way:
            future.result()


@dataclass
class Repeating:
    """A client as a script runs it: again where it gives up on the body of a blob that broke off in the middle.

    Nobody but the client can send such a body again, and not all do: an older skopeo takes a 502 for final, oras a
    closed connection. Whatever else a client gives up on fails the test.
    """

    client: Client
    gives_up_on: str
    """A pattern of what it then says."""
    gave_up: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str | Path) -> None:
        """Run it until it says that it has done it."""
        while (said := self.client.tried(*arguments)) is not None:
            assert re.search(self.gives_up_on, said), said
            self.gave_up.append(said)
