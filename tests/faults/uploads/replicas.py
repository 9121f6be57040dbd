"""Replicas reached one by one, without a balancer, and requests that are held in the middle of their body."""

from __future__ import annotations

import http.client
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.blackbox.cluster import Replica
from tests.blackbox.registry_api import DEADLINE_S, http_client, received_digest
from tests.processes import POLL_S, Process
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.servers import Bucket
    from zotpy.store.interface import ListedMultipart

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
"""The shortest parts that S3 takes."""
UPLOAD = {"partSize": PART_BYTES, "memoryBudget": 64 * MIB}
LAUNCHER = "tests.faults.uploads.launcher"


class UploadReplica(Replica):
    """A replica with settings of its own for uploads."""

    def __init__(
        self,
        index: int,
        bucket: Bucket,
        prefix: str,
        directory: Path,
        *launcher_options: str,
        upload: Mapping[str, object] = UPLOAD,
    ) -> None:
        """Write the settings; with options it runs under `tests/faults/uploads/launcher.py`. Nothing is started yet."""
        super().__init__(index, bucket, prefix, directory)
        self.prefix = prefix
        settings = directory / f"replica{index}.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"upload": upload}))
        module: list[str] = [LAUNCHER, *launcher_options] if launcher_options else ["zotpy"]
        command = [sys.executable, "-m", *module, "serve", "-c", str(settings)]
        self.process = Process(f"replica{index}", command, directory / f"replica{index}.log")


@dataclass(frozen=True)
class Progress:
    """Where an answer says that an upload stands."""

    status: int
    location: str
    offset: int

    @classmethod
    def of(cls, status: int, headers: httpx.Headers | http.client.HTTPMessage) -> Self:
        """Read an answer's Location and Range."""
        end = int(headers.get("Range", "0-0").removeprefix("0-"))
        return cls(status, headers.get("Location", ""), end + 1 if end else 0)  # the spec writes one byte as none


@dataclass(frozen=True)
class Metrics:
    """What a replica says of itself at one moment."""

    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def value(self, name: str, **labels: str) -> float:
        """Return one sample, or 0 if it does not exist yet."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)

    def calls(self, operation: str, outcome: str = "ok") -> int:
        """Return how many calls to the store ended so."""
        return int(self.value("zotpy_store_calls_total", operation=operation, outcome=outcome))

    @property
    def held_bytes(self) -> int:
        """What bodies hold in memory."""
        return int(self.value("zotpy_memory_budget_used_bytes"))

    @property
    def waiting(self) -> int:
        """How many bodies wait for memory."""
        return int(self.value("zotpy_memory_budget_waiting"))


def metrics_of(replica: UploadReplica) -> Metrics:
    """Ask a replica for its metrics."""
    text = httpx.get(f"{replica.url}/metrics", timeout=DEADLINE_S).raise_for_status().text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return Metrics({(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples})


def wait_for(replica: UploadReplica, condition: Callable[[Metrics], bool]) -> Metrics:
    """Ask a replica for its metrics until they are as they should be."""
    give_up_at = time.monotonic() + DEADLINE_S
    while not condition(found := metrics_of(replica)):
        assert time.monotonic() < give_up_at, found.samples
        time.sleep(POLL_S)
    return found


def begin(replica: UploadReplica, repository: str, algorithm: str | None = None) -> Progress:
    """Begin an upload."""
    parameters = {} if algorithm is None else {"digest-algorithm": algorithm}
    with http_client(replica.url) as client:
        answer = client.post(f"/v2/{repository}/blobs/uploads/", params=parameters)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return Progress.of(answer.status_code, answer.headers)


def send_chunk(replica: UploadReplica, location: str, chunk: bytes) -> Progress:
    """Send one chunk, which must be taken."""
    with http_client(replica.url) as client:
        answer = client.patch(location, content=chunk)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return Progress.of(answer.status_code, answer.headers)


def ask(replica: UploadReplica, location: str) -> Progress:
    """Ask how far an upload has come."""
    with http_client(replica.url) as client:
        answer = client.get(location)
    assert answer.status_code == httpx.codes.NO_CONTENT, answer.text
    return Progress.of(answer.status_code, answer.headers)


def finish(replica: UploadReplica, location: str, digest: str, rest: bytes = b"") -> httpx.Response:
    """Send the last bytes of an upload and return the answer."""
    with http_client(replica.url) as client:
        return client.put(with_digest(location, digest), content=rest)


def with_digest(location: str, digest: str) -> str:
    """Return the URL that finishes an upload."""
    return str(httpx.URL(location).copy_merge_params({"digest": digest}))


def blob_status(replica: UploadReplica, repository: str, digest: str) -> int:
    """Read a blob whole; return the status, after the bytes of a 200 were seen to have the digest asked for."""
    with http_client(replica.url) as client:
        answer = client.get(f"/v2/{repository}/blobs/{digest}")
    if answer.status_code == httpx.codes.OK:
        assert received_digest(answer, digest) == digest
    return answer.status_code


def read_everywhere(replicas: list[UploadReplica], repository: str, digest: str) -> set[int]:
    """Read a blob from each replica and return the statuses."""
    return {blob_status(replica, repository, digest) for replica in replicas}


@dataclass
class HeldRequest:
    """A request whose body is sent as far as the test wants."""

    replica: UploadReplica
    method: str
    location: str
    length_bytes: int
    saved_bytes: int = 0
    """What earlier chunks brought: what of it makes no whole part is held again."""
    sent_bytes: int = 0
    _before: Metrics = field(init=False)
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        """Send the head."""
        self._before = metrics_of(self.replica)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.replica.port, timeout=DEADLINE_S)
        url = urlsplit(self.location)
        self._connection.putrequest(self.method, f"{url.path}?{url.query}")
        self._connection.putheader("Content-Length", str(self.length_bytes))
        self._connection.putheader("Content-Type", "application/octet-stream")
        self._connection.endheaders()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send the next bytes of the body."""
        self._connection.send(data)
        self.sent_bytes += len(data)

    def settle(self) -> None:
        """Wait until the replica, which has nothing else to do, took all bytes sent and stored their full parts."""
        assert self._before.held_bytes == 0
        end = self.saved_bytes + self.sent_bytes
        full_parts = full_parts_in(end) - full_parts_in(self.saved_bytes)
        held_bytes = end - full_parts_in(end) * PART_BYTES

        def settled(now: Metrics) -> bool:
            stored = now.calls("put_part") - self._before.calls("put_part")
            return (stored, now.held_bytes) == (full_parts, held_bytes)

        wait_for(self.replica, settled)

    def answer(self) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Wait for the answer: its status, headers and body."""
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def close(self) -> None:
        """Hang up, whether the request is complete or not."""
        self._connection.close()


def full_parts_in(size_bytes: int) -> int:
    """Return how many parts leave before the end: a part goes out when a byte comes that it has no room for."""
    return max(0, size_bytes - 1) // PART_BYTES


def pieces(content: bytes, *cuts: int) -> Iterator[bytes]:
    """Cut content at these places."""
    for start, end in zip((0, *cuts), (*cuts, len(content)), strict=True):
        yield content[start:end]


async def multiparts(bucket: Bucket, prefix: str) -> Sequence[ListedMultipart]:
    """List the multiparts that are under way."""
    async with open_s3_store(bucket.config(), prefix) as store:
        return (await store.list_multiparts("")).multiparts
