"""One client: it does one thing after another, and notes how long it took, what was acknowledged, what went wrong."""

import hashlib
import itertools
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from bench.clients.blobs import Flow, has_blob, push_blob
from bench.clients.connection import Connection, Refused, Traffic
from bench.clients.content import Content
from bench.clients.endpoint import Endpoint
from bench.clients.images import BLOB_BYTES, Image, push_image, push_manifest
from bench.clients.paced import PacedConnection
from bench.clients.pool import Connections
from bench.load.spec import MOST_MESSAGES, Load

RETRY_PAUSE_S = 0.2


@dataclass
class Journal:
    """What one client did; times are those of the monotonic clock, which all processes share."""

    operations: list[tuple[str, float, float]] = field(default_factory=list)
    """Kind, begin and end of each that succeeded."""
    blobs: list[tuple[str, Content]] = field(default_factory=list)
    """Repository and content of each push that was acknowledged."""
    images: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Repository, tag and manifest of each that was acknowledged and that nobody else overwrites."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """For tags that several clients write, by `repository tag`: the SHA-256 of each manifest that was pushed there."""
    errors: list[str] = field(default_factory=list)
    """The first of them."""
    error_count: int = 0
    retries: int = 0

    def fail(self, message: str) -> None:
        """Note an error."""
        self.error_count += 1
        if len(self.errors) < MOST_MESSAGES:
            self.errors.append(message)


class Client:
    """One client with one connection; not for several threads."""

    def __init__(self, load: Load, endpoint: Endpoint, index: int) -> None:
        """Connect at the first use."""
        self.load = load
        self.index = index
        self.flow: Flow = load.flows[index % len(load.flows)]
        self.random = random.Random(f"{load.seed}/{index}")
        self.traffic = Traffic()
        self.journal = Journal()
        self.prepared: list[Content] = []
        """Contents whose digests are known, the next one last."""
        self.images: list[Image] = []
        """Images of which the same holds."""
        self._endpoint = endpoint
        self._connection: Connection | None = None
        self._more = Connections(endpoint)
        self._pool = ThreadPoolExecutor(len(BLOB_BYTES))
        self._names = itertools.count(1)

    def fresh_name(self) -> str:
        """Return a name that no other content of this load has."""
        return f"{self.load.seed}/{self.index}/{next(self._names)}"

    def perform(self, kind: str, action: Callable[[Connection], object]) -> bool:
        """Do one thing, again where the load allows it, note it, and tell whether it succeeded."""
        began = time.monotonic()
        tries_left = self.load.tries
        while True:
            tries_left -= 1
            sent, received = self.traffic.sent_bytes, self.traffic.received_bytes
            try:
                action(self._connected())
            except (Refused, OSError) as error:
                self.close()
                self.traffic.sent_bytes, self.traffic.received_bytes = sent, received  # it moved nothing that counts
                time.sleep(RETRY_PAUSE_S)
                if not tries_left:
                    self.journal.fail(f"{kind}: {type(error).__name__}: {error}")
                    return False
                self.journal.retries += 1
            else:
                self.journal.operations.append((kind, began, time.monotonic()))
                return True

    def push(self, repository: str, content: Content, kind: str = "push") -> bool:
        """Push a blob."""
        done = self.perform(kind, lambda connection: push_blob(connection, repository, content, self.flow))
        if done:
            self.journal.blobs.append((repository, content))
        return done

    def push_image(self, repository: str, image: Image, shared_tag: str | None = None) -> bool:
        """Push what is not there of the blobs, then the manifest under its tag or a shared one, as clients do."""
        began = time.monotonic()
        for blob in image.blobs:
            if not self.perform("push of a layer", partial(self._push_missing, repository, blob)):
                return False
            self.journal.blobs.append((repository, blob))
        done = self.tag(repository, image, shared_tag)
        if done:
            self.journal.operations.append(("push of an image", began, time.monotonic()))
        return done

    def push_image_at_once(self, repository: str, image: Image) -> bool:
        """Push an image that is not there as docker does: the blobs at once, over connections of their own."""

        def push(_connection: Connection) -> None:
            push_image(self._pool, self._more, repository, image, self.flow)

        done = self.perform("push of an image", push)
        if done:
            self.journal.blobs += [(repository, blob) for blob in image.blobs]
            self.journal.images.append((repository, image.tag, image.manifest))
        return done

    def tag(self, repository: str, image: Image, shared_tag: str | None = None) -> bool:
        """Push a manifest whose blobs are there."""
        if shared_tag is not None:  # noted before: it may win even if its answer is lost
            digest = hashlib.sha256(image.manifest).hexdigest()
            self.journal.shared.setdefault(f"{repository} {shared_tag}", []).append(digest)
        done = self.perform("tag", lambda connection: push_manifest(connection, repository, image, shared_tag))
        if done and shared_tag is None:
            self.journal.images.append((repository, image.tag, image.manifest))
        return done

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _push_missing(self, repository: str, blob: Content, connection: Connection) -> None:
        if not has_blob(connection, repository, blob):
            push_blob(connection, repository, blob, self.flow)

    def _connected(self) -> Connection:
        if self._connection is None:
            link = self.load.link
            self._connection = (
                PacedConnection(self._endpoint, link, self.traffic)
                if link is not None
                else Connection(self._endpoint, self.traffic)
            )
        return self._connection
