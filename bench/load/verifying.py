"""After a load: whether all that was acknowledged is there, and is what was pushed."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from bench.clients.blobs import OK, blob_is_there, expect, verify_blob
from bench.clients.connection import Connection, Refused
from bench.clients.content import Content
from bench.clients.endpoint import Endpoint
from bench.clients.images import pull_manifest
from bench.clients.pool import Connections
from bench.load.clients import Client
from bench.load.spec import MOST_MESSAGES

T = TypeVar("T")
AT_ONCE = 4
TRIES = 3
"""How often a check is tried whose connection breaks: a registry that cannot be reached has lost nothing by that."""
TAGS_PER_PAGE = 1000


@dataclass
class Check:
    """What is looked at."""

    existence: int
    """How many blobs and tags it asks for at most. All of these must exist."""
    whole_blobs: int
    """How many blobs it reads and compares byte by byte."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """By `repository tag`: the digests of the manifests that all clients of all processes pushed there."""


@dataclass
class Findings:
    """What was found."""

    checked: int = 0
    read_bytes: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there, or not what was pushed; the first of them."""
    lost_count: int = 0

    def lose(self, what: str) -> None:
        """Note a loss."""
        self.lost_count += 1
        if len(self.lost) < MOST_MESSAGES:
            self.lost.append(what)


def verify(clients: Sequence[Client], endpoint: Endpoint, check: Check, seed: str) -> Findings:
    """Check what these clients had acknowledged."""
    chance = random.Random(f"{seed}/verify")
    journals = [client.journal for client in clients]
    blobs = list({content.digest: (name, content) for one in journals for name, content in one.blobs}.values())
    images = [image for one in journals for image in one.images]
    findings = Findings()
    with closing(Connections(endpoint)) as connections, ThreadPoolExecutor(AT_ONCE) as pool:
        examiner = _Examiner(connections, findings)
        work: list[Callable[[], None]] = [
            *(partial(examiner.has, *one) for one in _sample(chance, blobs, check.existence)),
            *(partial(examiner.is_whole, *one) for one in _sample(chance, blobs, check.whole_blobs)),
            *(
                partial(examiner.names_one_of, f"{repository} {tag}", [hashlib.sha256(manifest).hexdigest()])
                for repository, tag, manifest in _sample(chance, images, check.existence)
            ),
            *(partial(examiner.names_one_of, *one) for one in check.shared.items()),
        ]
        for _ in pool.map(lambda each: each(), work):
            pass
        examiner.list_has_all(images)
    return findings


def _sample(chance: random.Random, everything: Sequence[T], most: int) -> Sequence[T]:
    return everything if len(everything) <= most else chance.sample(everything, most)


class _Examiner:
    """Asks one registry."""

    def __init__(self, connections: Connections, findings: Findings) -> None:
        self._connections = connections
        self._findings = findings

    def has(self, repository: str, content: Content) -> None:
        """Check that the blob is there."""
        what = f"blob {content.digest} in {repository}"
        self._examine(what, lambda connection: blob_is_there(connection, repository, content))

    def is_whole(self, repository: str, content: Content) -> None:
        """Check that the blob has the bytes that were pushed."""
        what = f"blob {content.digest} in {repository}"
        if self._examine(what, lambda connection: verify_blob(connection, repository, content)):
            self._findings.read_bytes += content.size_bytes

    def names_one_of(self, name: str, digests: Sequence[str]) -> None:
        """Check that the tag names one of the manifests that were pushed under it."""
        repository, _, tag = name.partition(" ")

        def ask(connection: Connection) -> None:
            found = hashlib.sha256(pull_manifest(connection, repository, tag)).hexdigest()
            if found not in digests:
                msg = f"it names {found}, which was not pushed there"
                raise Refused(msg)

        self._examine(f"tag {tag} in {repository}", ask)

    def list_has_all(self, images: Sequence[tuple[str, str, bytes]]) -> None:
        """Check that the list of tags names every tag."""
        tags: dict[str, set[str]] = {}
        for repository, tag, _ in images:
            tags.setdefault(repository, set()).add(tag)
        for repository, names in tags.items():

            def ask(connection: Connection, repository: str = repository, names: set[str] = names) -> None:
                if missing := names - listed_tags(connection, repository):
                    msg = f"{len(missing)} of {len(names)} tags are not in it, {min(missing)} for one"
                    raise Refused(msg)

            self._examine(f"list of tags in {repository}", ask)

    def _examine(self, what: str, ask: Callable[[Connection], None]) -> bool:
        self._findings.checked += 1
        for attempt in range(TRIES):
            try:
                with self._connections.lend() as connection:
                    ask(connection)
            except Refused as error:
                self._findings.lose(f"{what}: {error}")
                return False
            except OSError as error:
                if attempt + 1 == TRIES:
                    self._findings.lose(f"{what}: {error}")
            else:
                return True
        return False


def listed_tags(connection: Connection, repository: str) -> set[str]:
    """Return all tags of a repository, page by page (OCI distribution spec: end-8a, end-8b). Raises `Refused`."""
    target = f"/v2/{repository}/tags/list?n={TAGS_PER_PAGE}"
    tags: set[str] = set()
    while target:
        answer = expect(OK, connection.call("GET", target), "GET of the list of tags")
        tags.update(json.loads(answer.body)["tags"] or ())
        target = _next_page(target, answer.headers)
    return tags


def _next_page(target: str, headers: Mapping[str, str]) -> str:
    link, _, relation = headers.get("link", "").partition(";")
    if 'rel="next"' not in relation:
        return ""
    url = urlsplit(urljoin(target, link.strip("<> ")))
    return f"{url.path}?{url.query}"
