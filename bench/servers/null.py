"""`python -m bench.servers.null`: a registry that keeps manifests and tags, but of blobs only their sizes.

It does as little for each request as a server in Python can, so that what clients reach on it is what they can do. A
blob comes back with its right length and other bytes: a client that verifies finds out.
"""

import argparse
import contextlib
import hashlib
import json
import re
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

PIECE_BYTES = 1 << 20
_PATH = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>blobs/uploads|blobs|manifests|tags)/(?P<name>[^/]*)$")
_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found"}


@dataclass
class Answer:
    """What the server answers: a status, headers, and a body or the length of one that nobody keeps."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int = 0


class NullRegistry:
    """What it remembers, and what it answers."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.uploads: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.tags: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, target: str, body: bytes, body_bytes: int) -> Answer:
        """Answer a request whose body had so many bytes, of which those of a manifest were kept."""
        url = urlsplit(target)
        found = _PATH.match(url.path)
        if found is None:
            return Answer(200)
        match found["kind"]:
            case "blobs/uploads":
                return self._upload(method, url.path, found["name"], body_bytes, parse_qs(url.query))
            case "blobs":
                return self._blob(found["name"])
            case "manifests" if method == "PUT":
                return self._put_manifest(found["repository"], found["name"], body)
            case "manifests":
                return self._manifest(found["repository"], found["name"])
            case _:
                tags = sorted(self.tags.get(found["repository"], ()))
                return Answer(200, body=json.dumps({"tags": tags}).encode())

    def _upload(self, method: str, path: str, name: str, body_bytes: int, query: Mapping[str, list[str]]) -> Answer:
        if method == "POST":
            with self._lock:
                name = str(len(self.uploads))
                self.uploads[name] = 0
            return Answer(202, {"Location": f"{path.rstrip('/')}/{name}"})
        self.uploads[name] += body_bytes
        if method == "PATCH":
            return Answer(202, {"Location": path})
        self.sizes[query["digest"][0]] = self.uploads[name]
        return Answer(201, {"Location": path})

    def _blob(self, digest: str) -> Answer:
        size = self.sizes.get(digest)
        return Answer(404) if size is None else Answer(200, {"Docker-Content-Digest": digest}, length=size)

    def _put_manifest(self, repository: str, name: str, body: bytes) -> Answer:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.manifests[repository, name] = self.manifests[repository, digest] = body
        if not name.startswith("sha256:"):
            self.tags.setdefault(repository, set()).add(name)
        return Answer(201, {"Docker-Content-Digest": digest})

    def _manifest(self, repository: str, name: str) -> Answer:
        body = self.manifests.get((repository, name))
        if body is None:
            return Answer(404)
        return Answer(200, {"Docker-Content-Digest": f"sha256:{hashlib.sha256(body).hexdigest()}"}, body)


class Handler(socketserver.StreamRequestHandler):
    """One client, whose requests are answered one after another."""

    rbufsize = 64 << 10
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Get a buffer for what nobody reads."""
        super().setup()
        self._buffer = memoryview(bytearray(PIECE_BYTES))

    def handle(self) -> None:
        """Answer until the client ends."""
        assert isinstance(self.server, NullServer)
        with contextlib.suppress(ConnectionError):
            while first := self.rfile.readline():
                method, target, _ = first.decode("latin-1").split(" ")
                headers = {name.lower(): value.strip() for name, _, value in self._lines()}
                body, size = self._body(headers, keep="/manifests/" in target)
                self._send(method, self.server.registry.answer(method, target, body, size))

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            yield line.decode("latin-1").partition(":")

    def _body(self, headers: Mapping[str, str], *, keep: bool) -> tuple[bytes, int]:
        """Receive a body; return it if it is to be kept, and its size."""
        if headers.get("transfer-encoding") != "chunked":
            size = int(headers.get("content-length", "0"))
            return (self.rfile.read(size), size) if keep else (b"", self._drop(size))
        size = 0
        while length := int(self.rfile.readline(), 16):
            size += self._drop(length)
            self.rfile.readline()
        self.rfile.readline()
        return b"", size

    def _drop(self, size: int) -> int:
        left = size
        while left and (count := self.rfile.readinto1(self._buffer[:left])):
            left -= count
        return size

    def _send(self, method: str, answer: Answer) -> None:
        length = answer.length or len(answer.body)
        lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        if method == "HEAD":
            self.wfile.write(head)
            return
        self.wfile.write(head + answer.body)
        for start in range(0, answer.length, PIECE_BYTES):
            self.wfile.write(self._buffer[: answer.length - start])


class NullServer(socketserver.ThreadingTCPServer):
    """The server, with a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, registry: NullRegistry | None = None) -> None:
        """Listen on a port of this machine, or on any free one if it is 0."""
        super().__init__(("127.0.0.1", port), Handler)
        self.registry = registry or NullRegistry()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.null")
    parser.add_argument("--port", type=int, required=True)
    with NullServer(parser.parse_args().port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
