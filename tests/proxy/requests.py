"""The heads of requests and answers, and which S3 operation a request is."""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from tests.proxy.framing import Body, Chunked, Length, UntilClose


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request, as the client sent it."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in small letters."""
    number: int = 0
    """Counts all requests of the proxy, from 1."""

    @property
    def key(self) -> str:
        """The object's key, `""` for the bucket; the bucket's name stands first in the path."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def operation(self) -> str:
        """S3's name of what is asked for, as `UploadPart`."""
        return operation_of(self.method, self.key, self.query, self.headers)

    def body(self) -> Body:
        """Return how long the body is."""
        return _framing(self.headers) or Length(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer."""

    status: int
    headers: dict[str, str]

    @property
    def is_final(self) -> bool:
        """Whether it is a final answer, not one that only announces another."""
        return self.status >= HTTPStatus.OK

    def body(self, method: str) -> Body:
        """Return how long the body is (RFC 9112, section 6.3)."""
        if method == "HEAD" or self.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            return Length(0)
        return _framing(self.headers) or UntilClose()


def parse_request(head: bytes, number: int) -> Request:
    """Read the head of a request. Raises `h11.RemoteProtocolError`."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    connection.receive_data(head)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    return Request(event.method.decode(), event.target.decode(), _headers(event), number)


def parse_answer(head: bytes) -> Answer:
    """Read the head of an answer. Raises `h11.RemoteProtocolError`."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(head) + 1)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "store")]))
    connection.receive_data(head)
    event = connection.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    return Answer(event.status_code, _headers(event))


def asks_to_close(headers: dict[str, str]) -> bool:
    """Say whether the connection ends after this message."""
    return "close" in headers.get("connection", "").lower()


def operation_of(method: str, key: str, query: dict[str, str], headers: dict[str, str]) -> str:
    """Name the S3 operation; one that is not known is named by its method."""
    if not key:
        return _of_bucket(method, query)
    copied = "x-amz-copy-source" in headers
    if "partNumber" in query and method == "PUT":
        return "UploadPartCopy" if copied else "UploadPart"
    if "uploadId" in query:
        names = {"POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}
        return names.get(method, method)
    if method == "POST" and "uploads" in query:
        return "CreateMultipartUpload"
    names = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return "CopyObject" if copied and method == "PUT" else names.get(method, method)


def _of_bucket(method: str, query: dict[str, str]) -> str:
    if method == "GET":
        if "uploads" in query:
            return "ListMultipartUploads"
        if "location" in query:
            return "GetBucketLocation"
        return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
    names = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
    return "DeleteObjects" if method == "POST" and "delete" in query else names.get(method, method)


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in event.headers}


def _framing(headers: dict[str, str]) -> Body | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Chunked()
    length = headers.get("content-length")
    return Length(int(length)) if length is not None else None
