"""What is asked of the store, and what it answered."""

from collections.abc import Mapping
from dataclasses import dataclass

from zotpy.core.quick import quickly_made
from zotpy.http.client.outgoing import Body
from zotpy.s3.wire import signing

LONGEST_DOCUMENT_BYTES = 4 * 1024 * 1024
"""S3 writes no longer document for us: a listing of 1,000 of our keys has 1.5 MiB at most."""
LONGEST_ERROR_BYTES = 64 * 1024
"""How much of an error is read. The rest says nothing that is needed."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Request:
    """One call to make. `key` is the object's, unquoted; `None`: the bucket itself."""

    operation: str
    method: str
    key: str | None = None
    query: signing.Query = ()
    headers: Mapping[str, str] | None = None
    body: Body = b""
    checksum: bool = False
    """Send a checksum that the store compares with what it received."""
    most_bytes: int = LONGEST_DOCUMENT_BYTES
    """A longer answer is refused, and the rest of it is not read."""
    may_miss: bool = False
    """That the object does not exist (`NoSuchKey`) is an answer, and no error."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Answer:
    """A success, or that an object is missing. `ambiguous`: an earlier attempt of this call may have succeeded too."""

    status: int
    headers: Mapping[str, str]
    """The names are in lower case."""
    body: bytes
    crc32c: str = ""
    ambiguous: bool = False
