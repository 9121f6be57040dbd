"""From errors to answers: the one table of status codes, and one exit for the failures of each area.

429 and 503 differ in what helps. 429: the same request may succeed a little later, at any replica. skopeo, podman and
others repeat a request only after this status. 503: another replica may answer, because this one is older than its
bucket, too small, or the store refuses its keys. A balancer may send the request to another one at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
import trio

from zotpy.bucket.layout import LayoutMoved
from zotpy.concurrency import first_cause, is_of_system, log_others
from zotpy.core import errors as e
from zotpy.core.framing import FramingError
from zotpy.core.paging import PageInvalid
from zotpy.core.ranges import upload_range
from zotpy.http.server.envelope import envelope
from zotpy.http.server.response import Response
from zotpy.store.interface import StoreError, StoreFull, StoreUnavailable


class EndpointUnknown(e.RegistryError):
    """No endpoint has this path."""

    code = "NAME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("this endpoint does not exist")


class MethodNotAllowed(e.Unsupported):
    """The endpoint does not support this method; `methods` are those that it supports."""

    def __init__(self, methods: Iterable[str]) -> None:
        super().__init__("this endpoint does not support this method")
        self.methods = frozenset(methods)


class LogInAtPrimary(e.Unauthorized):
    """The primary of this mirror asks the caller to log in; `challenges` are its header lines."""

    def __init__(self, challenges: Sequence[str]) -> None:
        super().__init__("log in at the primary of this mirror")
        self.challenges = challenges


class FormInvalid(e.RegistryError):
    """The form of a request for a token cannot be read, or asks for what the endpoint does not give."""

    code = "UNSUPPORTED"


class FormTooLong(e.RegistryError):
    """The form of a request for a token is longer than any that a client sends."""

    code = "SIZE_INVALID"


class KeyUnknown(e.RegistryError):
    """The caller has no API key with this id."""

    code = "NAME_UNKNOWN"


STATUS: Mapping[type[e.RegistryError], int] = {
    e.NameInvalid: 400,
    e.NameUnknown: 404,
    e.TagInvalid: 400,
    e.DigestInvalid: 400,
    e.SizeInvalid: 400,
    e.BlobTooLarge: 413,
    e.RangeInvalid: 416,
    e.TooManyRanges: 400,
    e.ChunkOutOfOrder: 416,
    e.BlobUnknown: 404,
    e.UploadUnknown: 404,
    e.UploadInvalid: 400,
    e.ManifestUnknown: 404,
    e.ManifestInvalid: 400,
    e.ManifestTooLarge: 413,
    e.ManifestBlobUnknown: 404,
    e.Unauthorized: 401,
    LogInAtPrimary: 401,
    e.TokenInvalid: 401,
    e.ScopeInsufficient: 401,
    e.Denied: 403,
    e.TagImmutable: 403,
    e.ManifestShared: 409,
    e.PreconditionFailed: 412,
    e.Unsupported: 501,
    e.TooManyRequests: 429,
    e.TryAgain: 429,
    e.Unavailable: 503,
    e.TooLate: 429,
    e.ClientStalled: 408,
    e.StorageFull: 413,  # crane, oras, regctl and skopeo all end at once after this status, and show the message
    PageInvalid: 400,
    EndpointUnknown: 404,
    FormInvalid: 400,
    KeyUnknown: 404,
    FormTooLong: 413,
    MethodNotAllowed: 405,
}
_RETRY_AFTER_S = 5

log = structlog.get_logger()


def answer(error: BaseException) -> Response:
    """Turn any failure into its answer. One without a row in a table is logged with its traceback and is a 500."""
    cause = error
    if isinstance(error, BaseExceptionGroup):
        cause = first_cause(error)
        log_others(error, cause)
    if isinstance(cause, StoreFull):
        log.error("store_full", reason=str(cause))
        why = cause.told or "the store behind this registry is full: ask its operator for more space"
        cause = e.StorageFull(why)
    if isinstance(cause, e.RegistryError):
        return envelope(STATUS[type(cause)], *cause.items(), headers=_headers(cause))
    if isinstance(cause, LayoutMoved):  # it was logged once, when it was found
        message = "this replica is older than its bucket: try again, since another replica may answer"
        return envelope(503, ("UNAVAILABLE", message, None), headers={"Retry-After": str(_RETRY_AFTER_S)})
    if isinstance(cause, StoreError | trio.TooSlowError):
        log.error("store_failed", error=type(cause).__name__, reason=str(cause))
        message = "the store behind this registry does not answer correctly: try again"
        passes = isinstance(cause, StoreUnavailable | trio.TooSlowError)
        status, code = (429, e.TryAgain.code) if passes else (503, e.Unavailable.code)
        return envelope(status, (code, message, None), headers={"Retry-After": str(_RETRY_AFTER_S)})
    if isinstance(cause, FramingError):
        log.error("damaged_object", reason=str(cause))
        message = "an object of the bucket is damaged: ask the operator to look at it"
        return envelope(503, (e.Unavailable.code, message, None))
    if is_of_system(cause):
        log.error("system_failed", exc_info=cause)
        message = "this replica lacks memory, threads, files or connections for the request: try again"
        return envelope(503, (e.Unavailable.code, message, None), headers={"Retry-After": str(_RETRY_AFTER_S)})
    log.error("internal_error", exc_info=cause)
    return envelope(500, ("UNKNOWN", "the registry has failed; its log says more", None))


def _headers(error: e.RegistryError) -> dict[str, str]:
    if isinstance(error, e.ChunkOutOfOrder):
        headers = {"Range": upload_range(error.offset)}
        return headers | ({"Location": error.location} if error.location else {})
    if isinstance(error, e.RangeInvalid) and error.size_bytes is not None:
        return {"Content-Range": f"bytes */{error.size_bytes}"}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(sorted(error.methods))}
    if isinstance(error, e.TooManyRequests | e.TryAgain | e.Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {}


@dataclass(frozen=True, slots=True)
class Area:
    """Endpoints whose answers share some headers, and whose failures leave by one exit."""

    headers: Mapping[str, str]
    explain: Callable[[BaseException], Response]
    """Writes the answer to a request that failed."""

    def mark(self, response: Response) -> None:
        """Add the headers of the area. No handler sets one of them, so none is looked for: that costs more than all."""
        for name, value in self.headers.items():
            response.headers.add(name, value)

    def failed(self, error: BaseException) -> Response:
        """Return the answer to a request that failed, with the headers of the area."""
        response = self.explain(error)
        self.mark(response)
        return response


API = Area({"Docker-Distribution-API-Version": "registry/2.0"}, answer)
"""What clients of a registry ask: a failure is the OCI envelope."""
