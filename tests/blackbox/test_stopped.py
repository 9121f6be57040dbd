"""SIGTERM and Ctrl-C in the middle of commands that use the bucket: all end in order, and say what they did."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trio

from tests.blackbox.imports import Target
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.blackbox.registry_api import digest_of, http_client
from tests.blackbox.test_import import push_blob_in_two, push_manifest
from tests.forks.forked import Forked
from tests.proxy import Request, Stall, StoreProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

    from tests.servers import Bucket

SHORT, LONG = b"short layer", bytes(range(256)) * 4096
"""The second layer is 1 MiB, so it does not stand in its record."""
PASSED_BYTES = 300_000
"""How much of the long layer passes before it stalls."""
REPOS = ("team/a", "team/b")
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Stalling:
    """Tells a proxy to stop answers in their middle, as long as `is_open` is not set."""

    def __init__(self, marks: str, passed_bytes: int | None = PASSED_BYTES) -> None:
        """Stall requests that have `marks` in their target, once so much of the answer has passed."""
        self.stall = Stall("answer", passed_bytes)
        self.is_open = False
        self._marks = marks

    def __call__(self, request: Request) -> Stall | None:
        """See `tests.proxy.StoreProxy.faults`."""
        stalls = not self.is_open and request.method == "GET" and self._marks in request.target
        return self.stall if stalls else None


def push_image(client: httpx.Client, repo: str, layer: bytes) -> None:
    """Push an image of a configuration and one layer."""
    config = b'{"architecture":"amd64","os":"linux","of":"%s"}' % repo.encode()
    kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
    parts = [
        {"mediaType": kind, "digest": push_blob_in_two(client, repo, content), "size": len(content)}
        for kind, content in zip(kinds, (config, layer), strict=True)
    ]
    manifest = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": parts[0], "layers": parts[1:]}
    push_manifest(client, repo, "v1", json.dumps(manifest).encode(), OCI_IMAGE)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Distribution]:
    """Return a distribution with an image of a short layer and one of a long layer."""
    with running_distribution(tmp_path / "upstream") as made:
        with http_client(made.url) as client:
            for repo, layer in zip(REPOS, (SHORT, LONG), strict=True):
                push_image(client, repo, layer)
        yield made


@pytest.fixture
async def proxy(nursery: trio.Nursery, upstream: Distribution) -> AsyncIterator[StoreProxy]:
    """Return a proxy before the distribution, in which the long layer stalls."""
    made = await StoreProxy("127.0.0.1", upstream.port).start(nursery)
    yield made
    nursery.cancel_scope.cancel()


async def stopped(words: list[str], stalling: Stalling, number: signal.Signals) -> dict[str, Any]:
    """Run a command until an answer stalls, send the signal, and return the summary that the command prints."""
    said, failure = await interrupted(words, stalling, number)
    told: dict[str, Any] = json.loads(said)
    assert told["failures"] == [failure]
    return told


async def interrupted(words: list[str], stalling: Stalling, number: signal.Signals) -> tuple[str, str]:
    """Run a command until an answer stalls, send the signal, and return what it prints, and its complaint."""
    pipe = subprocess.PIPE
    with Forked[str](words, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            await stalling.stall.reached.wait()
            process.send_signal(number)
            said, complained = await trio.to_thread.run_sync(process.communicate)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == EXIT_CODES[number], complained
    failure = complained.removeprefix("zotpy: ").removesuffix("\n")
    assert failure.startswith(f"it was stopped by {NAMES[number]}: run it again, and it ")
    assert complained == f"zotpy: {failure}\n"
    return said, failure


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["import", "sync"])
async def test_a_copy_into_the_bucket(target: Target, proxy: StoreProxy, command: str, number: signal.Signals) -> None:
    """The first image is here and counted, nothing of the second is visible, and a second run copies only that."""
    arguments = ["--at-once", "1", proxy.url] if command == "import" else []
    if command == "sync":
        target.replica.configure(mirrored(proxy.url, onDemand=False, pollInterval="6h", reqConcurrent=1))
    stalling = proxy.faults = Stalling(digest_of(LONG))
    words = [sys.executable, "-m", "zotpy", command, "-c", str(target.replica.settings), "--json", *arguments]
    told = await stopped(words, stalling, number)
    assert (told["repositories"], told["tags_copied"], told["problems"]) == (1, 1, [])
    assert told["blobs_copied"] == 3  # the two of the first image, and the configuration of the second
    checked = await trio.to_thread.run_sync(lambda: target.run("--read", "all", "--json", command="fsck"))
    report = json.loads(checked.stdout)
    assert (report["problems"], report["tags"], report["manifests"], report["blobs"]) == ([], 1, 1, 3)

    stalling.is_open = True
    again = await trio.to_thread.run_sync(lambda: target.told(*arguments, command=command))
    assert (again["tags_unchanged"], again["tags_copied"], again["blobs_copied"]) == (1, 1, 1)


def push_images(target: Target) -> None:
    """Push both images to a replica of the target."""
    target.replica.start()
    with http_client(target.replica.url) as client:
        for repo, layer in zip(REPOS, (SHORT, LONG), strict=True):
            push_image(client, repo, layer)


async def stalled(target: Target, bucket: Bucket, nursery: trio.Nursery, directory: Path, stalling: Stalling) -> Target:
    """Return the same target by way of a proxy before its store, in which answers stall."""
    service = urlsplit(bucket.endpoint)
    proxy = await StoreProxy(str(service.hostname), int(service.port or 80)).start(nursery)
    proxy.faults = stalling
    return Target(replace(bucket, endpoint=proxy.url), target.prefix, directory)


def indexes(directory: Path) -> list[Path]:
    """Return the indexes of the layouts in a directory, in which no tar and no file with a hidden name is."""
    files = sorted(directory.rglob("*"))
    assert not [file for file in files if file.name.startswith(".") or file.suffix == ".tar"]
    return [file for file in files if file.name == "index.json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["zot", "oci-archive"])
async def test_an_export(
    target: Target, bucket: Bucket, nursery: trio.Nursery, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    """What was written whole has its name, of the rest no file is left, and a second run writes what is missing."""
    await trio.to_thread.run_sync(push_images, target)
    stalling = Stalling("/data/")
    behind = await stalled(target, bucket, nursery, tmp_path / "behind", stalling)
    out = tmp_path / ("out.tar" if kind == "oci-archive" else "out")
    arguments = [*REPOS] if kind == "zot" else [REPOS[1]]
    arguments += ["--to", f"{kind}:{out}", "--json"]
    words = [sys.executable, "-m", "zotpy", "export", "-c", str(behind.replica.settings), *arguments]
    told = await stopped(words, stalling, number)
    complete = 1 if kind == "zot" else 0
    assert (told["repositories"], told["tags"], told["problems"]) == (complete, complete, [])
    assert indexes(tmp_path) == ([out / REPOS[0] / "index.json"] if kind == "zot" else [])

    stalling.is_open = True
    again = await trio.to_thread.run_sync(lambda: behind.told(*arguments, command="export"))
    assert again["tags"] == again["repositories"] == len(arguments) - 3
    written = told["blobs_written"] if kind == "zot" else 0
    assert kind != "zot" or written in {2, 3}  # the configuration of the second image is written beside its layer
    assert again["blobs_written"] == (4 if kind == "zot" else 2) - written
    nursery.cancel_scope.cancel()


LOOKED_AT = {
    "gc": ("data%2F", {"repositories": 2, "leases": 3, "data_objects": 0, "problems": []}),
    "fsck": ("hints%2F", {"repositories": 2, "manifests": 2, "blobs": 4, "tags": 2, "problems": []}),
}
"""The listing in which a command stalls, and what it has looked at by then."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["gc", "fsck", "du"])
async def test_a_look_at_the_bucket(
    target: Target, bucket: Bucket, nursery: trio.Nursery, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """It says what it did until then, and `du`, which adds up at its end, only that it was stopped."""
    await trio.to_thread.run_sync(push_images, target)
    marks, looked_at = LOOKED_AT.get(command, ("data%2F", {}))
    stalling = Stalling(marks, None)
    behind = await stalled(target, bucket, nursery, tmp_path / "behind", stalling)
    behind.replica.configure({"log": {"level": "warn"}})
    words = [sys.executable, "-m", "zotpy", command, "-c", str(behind.replica.settings), "--json"]
    if command == "du":
        said, _ = await interrupted(words, stalling, number)
        assert said == ""
    else:
        told = await stopped(words, stalling, number)
        assert {what: told[what] for what in looked_at} == looked_at
    nursery.cancel_scope.cancel()
