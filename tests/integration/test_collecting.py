"""Collectors, soon again after each collection, beside clients that push, pull and delete, on a real SeaweedFS.

The grace is so short that what is pushed, deleted and pushed again lives through all that the collector does. On a slow
machine the collectors take a longer one, so that two collections fit into it. The test works until enough was deleted
and came back, which takes about a minute; `ZOTPY_TEST_COLLECTING_SECONDS` lets it work longer.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from itertools import count, cycle
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.cluster import Replica
from tests.blackbox.images import stored_blobs
from tests.blackbox.registry_api import http_client
from tests.failover.content import new_image
from tests.failover.load import Repeating
from tests.forks.forked import run
from tests.integration.churn import delete_all, pull, push_and_delete, read_back
from tests.integration.ledger import Ledger
from tests.integration.pushing import Site
from tests.processes import wait_until
from zotpy.bucket.sweeps import list_all
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.servers import Bucket

REPLICAS, PUSHING, PULLING, COLLECTING = 3, 6, 2, 2
WORK_S = float(os.environ.get("ZOTPY_TEST_COLLECTING_SECONDS", "0"))
"""How long it works at least."""
GRACE_S, DEADLINE_S = 20.0, 2.0
"""The grace is as short as the deadline allows, and ten times as long as a request on a slow machine may take."""
SETTINGS = {
    "gcSettings": {"grace": f"{GRACE_S:g}s", "deadline": f"{DEADLINE_S:g}s", "uploadTTL": f"{GRACE_S:g}s"},
    "upload": {"partSize": "5MiB"},
    "log": {"level": "warn"},
}
GONE = {
    "data_deleted": 60,
    "hints_deleted": 60,
    "leases_deleted": 60,
    "markers_deleted": 60,
    "multiparts_aborted": 3,
    "records_deleted": 200,
    "uploads_ended": 6,
}
"""How much of each kind the collectors must have deleted while the clients worked."""
DONE = {"returned": 20, "pulled": 60}
"""How often the clients must have done what falls into dangerous moments."""
REST_S = 3.0
"""How long each collector rests: most of the CPU of a collection is the start of its program."""
LONGEST_S = 300.0
"""How long all of that may take on a slow machine."""
FITTING = 3
"""How many of the slowest collections fit into the grace of the next one: two delete data, if they fit."""


class Collecting:
    """Commands as an operator runs them, and what the collectors have said."""

    def __init__(self, config: Path) -> None:
        """Use the configuration of a replica."""
        self._config = config
        self._slowest_s = 0.0
        self.summaries: list[dict[str, Any]] = []

    def told(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Run a command, which must succeed, and return what it says. The variables override the configuration."""
        command = [sys.executable, "-m", "zotpy", *arguments, "-c", str(self._config), "--json"]
        done = run(command, os.environ | variables, LONGEST_S)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return dict(json.loads(done.stdout))

    def collect(self) -> dict[str, Any]:
        """Collect once, by a grace into which two collections fit. The collector's may be longer than the replicas'."""
        began = time.monotonic()
        grace = f"{max(GRACE_S, FITTING * self._slowest_s):.0f}s"
        summary = self.told("gc", ZOTPY_GCSETTINGS_GRACE=grace, ZOTPY_GCSETTINGS_UPLOADTTL=grace)
        self._slowest_s = max(self._slowest_s, time.monotonic() - began)
        self.summaries.append(summary)
        return summary

    def collect_until(self, enough: Event) -> None:
        """Collect again and again, until it is enough."""
        while not enough.wait(REST_S):
            self.collect()

    def total(self, what: str) -> int:
        """Return how much of something all collections together have done."""
        return sum(summary[what] for summary in self.summaries)

    def problems(self) -> list[Any]:
        """Read everything, and return what is wrong."""
        return list(self.told("fsck", "--read", "all")["problems"])


@pytest.fixture
def replicas(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[list[Replica]]:
    """Return replicas that run."""
    made = [Replica(index, bucket, prefix, tmp_path) for index in range(REPLICAS)]
    try:
        for replica in made:
            replica.configure(SETTINGS)
            replica.start()
        yield made
    finally:
        for replica in made:
            replica.process.stop()


@pytest.fixture
def site(replicas: list[Replica]) -> Iterator[Site]:
    """Return what clients of these replicas share."""
    with ExitStack() as stack:
        clients = [stack.enter_context(http_client(replica.url)) for replica in replicas]
        yield Site(clients, GRACE_S, Ledger(), Counter())


@pytest.fixture
def crane(tmp_path: Path) -> Repeating:
    """Return crane, which is run again if the store was too slow for it, or crane for its blobs."""
    client = Client("crane", isolated_environment(tmp_path / "home"))
    return Repeating(client, "TOOMANYREQUESTS|MANIFEST_BLOB_UNKNOWN")


@pytest.mark.timeout(WORK_S + 3 * LONGEST_S)
def test_nothing_is_lost_and_the_space_comes_back(
    bucket: Bucket, prefix: str, replicas: list[Replica], site: Site, crane: Repeating, tmp_path: Path
) -> None:
    """What was acknowledged can be pulled whole all the time; once all of it is deleted, the bucket is as before."""
    before = trio.run(contents, bucket, prefix)
    collecting = Collecting(replicas[0].settings)
    try:
        work_beside_each_other(
            [
                *[partial(push_and_delete, site, f"client{number}") for number in range(PUSHING)],
                *[partial(pull, site, f"reader{number}") for number in range(PULLING)],
                *[collecting.collect_until] * COLLECTING,
                partial(push_and_pull, crane, replicas, tmp_path),
            ],
            lambda: (
                all(collecting.total(what) >= least for what, least in GONE.items())
                and all(site.counts[what] >= least for what, least in DONE.items())
            ),
        )
        assert read_back(site)
        assert collecting.problems() == []
    finally:
        told = {what: collecting.total(what) for what in GONE}
        print(f"{len(collecting.summaries)} collections: {told}; the clients: {dict(site.counts)}")  # noqa: T201 - of a failure

    delete_all(site)
    assert site.ledger.all() == []
    wait_until(lambda: all(is_over(collecting.collect()) for _ in range(2)), "all of it went", LONGEST_S)
    assert trio.run(contents, bucket, prefix) == before
    assert collecting.problems() == []
    assert is_over(collecting.collect())


def work_beside_each_other(works: Sequence[Callable[[Event], None]], is_enough: Callable[[], bool]) -> None:
    """Let all of them work for the time, and on until it is enough; the first failure ends it."""
    enough = Event()
    with ThreadPoolExecutor(len(works)) as pool:
        try:
            under_way = [pool.submit(work, enough) for work in works]
            failed, _ = wait(under_way, WORK_S, FIRST_EXCEPTION)
            if not failed:
                wait_until(lambda: is_enough() or any(one.done() for one in under_way), "all kinds went", LONGEST_S)
        finally:
            enough.set()
    for one in under_way:
        one.result()


def push_and_pull(crane: Repeating, replicas: Sequence[Replica], directory: Path, enough: Event) -> None:
    """Let crane push images, pull them through another replica and delete them, one after the other."""
    addresses = cycle(f"127.0.0.1:{replica.port}" for replica in replicas)
    for number in count():
        if enough.is_set():
            return
        layout = new_image(directory / f"pushed{number}", f"crane {number}")
        name = f"crane/app:{number}"
        crane("push", layout.path, f"{next(addresses)}/{name}")
        crane("pull", "--format", "oci", f"{next(addresses)}/{name}", directory / f"pulled{number}")
        assert stored_blobs(directory / f"pulled{number}") == stored_blobs(layout.path)
        (descriptor,) = layout.tagged
        crane("delete", f"{next(addresses)}/crane/app@{descriptor['digest']}")
        for kind in ("pushed", "pulled"):
            shutil.rmtree(directory / f"{kind}{number}")


def is_over(summary: dict[str, Any]) -> bool:
    """Whether a collection found nothing any more, neither to delete nor to wait for.

    Data goes last, after all else that was deleted with it. SeaweedFS lists directories for a while after their last
    object went, and so repositories.
    """
    return not any(value for what, value in summary.items() if what != "repositories")


async def contents(bucket: Bucket, prefix: str) -> dict[str, object]:
    """Return the length of every object below the prefix by its key, and the multiparts under way."""
    async with open_s3_store(bucket.config(), prefix) as store:
        objects = {listed.key: listed.size_bytes for listed in await list_all(store, "")}
        return objects | {one.key: one.multipart_id for one in (await store.list_multiparts("")).multiparts}
