"""Uploads through the balancer that stop in the middle of a body for as long as a test wants."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx

from tests.blackbox.registry_api import DEADLINE_S, digest_of, http_client

if TYPE_CHECKING:
    import random

    from tests.failover.farm import Farm

CONTENT_BYTES = (8 << 20) + 5
"""Two parts."""
MOST_OTHERS = 100
"""The balancer gives a request to the replica that has the fewest, so each one held elsewhere brings ours nearer."""


class HeldChunk:
    """An upload whose second chunk was sent in part, and the replica that has it."""

    def __init__(self, farm: Farm, repository: str, content: bytes) -> None:
        """Send a third of the content as one chunk, and the next third as a part of the chunk that is the rest."""
        self.farm = farm
        self.content = content
        self.saved_bytes = len(content) // 3
        self._sent_bytes = 2 * self.saved_bytes
        with http_client(farm.edge.url) as client:
            begun = client.post(f"/v2/{repository}/blobs/uploads/")
            taken = client.patch(begun.headers["Location"], content=content[: self.saved_bytes])
        assert taken.status_code == httpx.codes.ACCEPTED, taken.text
        self.location = taken.headers["Location"]
        url = urlsplit(self.location)
        self._connection = http.client.HTTPConnection("127.0.0.1", farm.edge.port, timeout=DEADLINE_S)
        self._connection.putrequest("PATCH", f"{url.path}?{url.query}")
        self._connection.putheader("Content-Length", str(len(content) - self.saved_bytes))
        self._connection.endheaders()
        self._connection.send(content[self.saved_bytes : self._sent_bytes])
        self.server = farm.edge.server_of(self._connection.sock.getsockname()[1])

    @classmethod
    def at(cls, server: str, farm: Farm, repository: str, source: random.Random) -> Self:
        """Hold a chunk at this replica; those that the balancer gives to others meanwhile are finished behind it."""
        others: list[Self] = []
        try:
            while (held := cls(farm, repository, source.randbytes(CONTENT_BYTES))).server != server:
                others.append(held)
                assert len(others) < MOST_OTHERS
        finally:
            for other in others:
                other.finish()
        return held

    def answer(self) -> http.client.HTTPResponse:
        """Wait for the answer."""
        answer = self._connection.getresponse()
        answer.read()
        self._connection.close()
        return answer

    def was_cut(self) -> bool:
        """Whether the chunk broke off: the answer is HAProxy's 502 or, of some versions, a closed connection."""
        try:
            return self.answer().status == httpx.codes.BAD_GATEWAY
        except ConnectionError:  # http.client's own for an answer of no bytes is one, too
            return True

    def finish(self) -> None:
        """Send the rest, which must be taken, and commit."""
        self._connection.send(self.content[self._sent_bytes :])
        answer = self.answer()
        assert answer.status == httpx.codes.ACCEPTED
        self._commit(str(answer.headers["Location"]), b"")

    def resume(self) -> int:
        """Go on as a client does whose chunk broke off: ask how far the upload came, send the rest and commit.

        Returns how far it had come, in bytes.
        """
        with http_client(self.farm.edge.url) as client:
            status = client.get(self.location)
        assert status.status_code == httpx.codes.NO_CONTENT, status.text
        offset = int(status.headers["Range"].removeprefix("0-")) + 1
        self._commit(status.headers["Location"], self.content[offset:])
        return offset

    def _commit(self, location: str, rest: bytes) -> None:
        """Finish the upload, and read the blob back through the balancer."""
        digest = digest_of(self.content)
        url = httpx.URL(location).copy_merge_params({"digest": digest})
        with http_client(self.farm.edge.url) as client:
            created = client.put(url, content=rest)
            assert created.status_code == httpx.codes.CREATED, created.text
            assert client.get(created.headers["Location"]).content == self.content
