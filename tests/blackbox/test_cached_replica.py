"""Replicas with a cache, on a real store: its disk may fill or go, workers share it, and it opens nothing."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bcrypt
from prometheus_client.parser import text_string_to_metric_families

from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.registry_api import digest_of, http_client, push_blob
from tests.blackbox.supervised import WORKERS, Supervised
from tests.powercuts.disk import needs_mounts, run
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    import pytest

    from tests.servers import Bucket

MIB = 1 << 20
BLOB_BYTES = 20 * MIB
REPO = "team/app"
DISK_BYTES = 48 * MIB
"""Room for two of the blobs."""


@contextmanager
def started(replica: Replica, **settings: Mapping[str, object]) -> Iterator[httpx.Client]:
    """Run a replica with these settings besides, and return a client of it."""
    replica.configure(settings)
    try:
        replica.process.start(lambda: is_ready(replica.url))
        with http_client(replica.url) as client:
            yield client
    finally:
        replica.process.stop()


def below(directory: Path) -> dict[str, object]:
    """Return the settings of a cache in a directory."""
    return {"directory": str(directory), "size": "1GiB"}


def reads(client: httpx.Client) -> dict[str, float]:
    """Return how often reads were of each kind, and how often the disk has failed."""
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    samples = [sample for family in families for sample in family.samples]
    named = {"zotpy_cache_reads_total", "zotpy_cache_failures_total"}
    return {one.labels.get("outcome", "failures"): one.value for one in samples if one.name in named}


def pull(client: httpx.Client, content: bytes) -> None:
    """Pull a blob, which must come as it was pushed."""
    answer = client.get(f"/v2/{REPO}/blobs/{digest_of(content)}")
    assert (answer.status_code, answer.content == content) == (200, True)


def kept(place: Path) -> list[str]:
    """Name what is in a directory of the cache."""
    return sorted(path.name for path in place.iterdir() if path.name != "lock")


def test_a_full_disk_fails_no_pull(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """The blob that has no room comes from the store, nothing of it stays, and those in the cache are still read."""
    needs_mounts()
    (disk := tmp_path / "disk").mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk)
    blobs = [os.urandom(BLOB_BYTES) for _ in range(3)]
    replica = Replica(0, bucket, prefix, tmp_path)
    try:
        with started(replica, cache=below(disk)) as client:
            for content in blobs:
                push_blob(client, REPO, content)
            for content in blobs:
                pull(client, content)
                wait_until(lambda: not any(".part" in name for name in kept(disk / "0")), "nothing is being filled")
            pull(client, blobs[0])
            assert reads(client) == {"filled": 3, "hit": 1, "failures": 1}
            assert len(kept(disk / "0")) == 2
            assert replica.process.log_tail().count("cache_failed") == 1
    finally:
        run("umount", disk)


def test_a_directory_that_goes(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """What was in it comes from the store again, and so does what would be kept in it."""
    first, second = os.urandom(BLOB_BYTES), os.urandom(BLOB_BYTES)
    replica, cache = Replica(0, bucket, prefix, tmp_path), tmp_path / "cache"
    with started(replica, cache=below(cache)) as client:
        for content in (first, second):
            push_blob(client, REPO, content)
        pull(client, first)
        wait_until(lambda: [name for name in kept(cache / "0") if ".part" not in name] != [], "it is kept")
        shutil.rmtree(cache)
        for content in (first, second, first):
            pull(client, content)
        found = reads(client)
        assert (found["hit"], found["failures"]) == (1, 1)


def test_workers_share_a_directory_and_a_restart_keeps_it(
    bucket: Bucket, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker has a place of its own, and finds what it held before."""
    cache, content = tmp_path / "cache", os.urandom(BLOB_BYTES)
    monkeypatch.setenv("ZOTPY_CACHE_DIRECTORY", str(cache))
    places = [cache / str(index) for index in range(WORKERS)]
    for outcome in ("filled", "hit"):
        (directory := tmp_path / outcome).mkdir()
        registry = Supervised(directory, bucket, prefix)
        try:
            registry.start()
            for worker in range(1, WORKERS + 1):
                with http_client(registry.url) as client:
                    with registry.only(worker):
                        client.get("/v2/").raise_for_status()
                    push_blob(client, REPO, content)
                    pull(client, content)
            wait_until(lambda: ".part" not in "".join(name for place in places for name in kept(place)), "it is kept")
            assert [len(kept(place)) for place in places] == [1] * WORKERS
            with http_client(registry.url) as client:
                assert reads(client) == {outcome: WORKERS, "failures": 0}
        finally:
            registry.process.stop()


def test_memory_in_place_of_a_directory(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """A second pull costs the store no data. A blob that is longer than the memory goes past it."""
    short, long = os.urandom(BLOB_BYTES), os.urandom(BLOB_BYTES + MIB)
    replica = Replica(0, bucket, prefix, tmp_path)
    with started(replica, cache={"memory": f"{BLOB_BYTES}B"}) as client:
        for content in (short, long):
            push_blob(client, REPO, content)
            pull(client, content)
        wait_until(lambda: used_bytes(client) == BLOB_BYTES, "it is kept")
        pull(client, short)
        assert reads(client) == {"filled": 1, "passed": 1, "hit": 1, "failures": 0}


def used_bytes(client: httpx.Client) -> float:
    """Return how much the cache says that it holds."""
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    return sum(one.value for family in families for one in family.samples if one.name == "zotpy_cache_used_bytes")


def test_what_is_cached_is_no_more_open(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """Who may not read a repository gets nothing of it from the cache, nor does one that does not have the blob."""
    content = os.urandom(BLOB_BYTES)
    users = tmp_path / "users"
    hashed = {name: bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() for name in ("alice", "bob")}
    users.write_text("".join(f"{name}:{value}\n" for name, value in hashed.items()))
    rule = {"policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}]}
    rules = {"repositories": {REPO: rule, "open/**": {"defaultPolicy": ["read", "create"]}}}
    replica = Replica(0, bucket, prefix, tmp_path)
    written = json.loads(replica.settings.read_text())["http"]
    http = {**written, "auth": {"htpasswd": {"path": str(users)}}, "accessControl": rules}
    with started(replica, cache=below(tmp_path / "cache"), http=http) as client:
        url = f"/v2/{REPO}/blobs/{digest_of(content)}"
        client.auth = ("alice", "secret")
        push_blob(client, REPO, content)
        for _ in range(2):
            pull(client, content)
        wait_until(lambda: ".part" not in "".join(kept(tmp_path / "cache" / "0")), "it is kept")
        client.auth = ("bob", "secret")
        assert client.get(url).status_code in {403, 404}
        assert client.get(f"/v2/open/app/blobs/{digest_of(content)}").status_code == 404
        with http_client(replica.url) as nobody:
            assert nobody.get(url).status_code == 401
        client.auth = ("alice", "secret")
        assert client.delete(url).status_code == 202
        assert client.get(url).status_code == 404
