"""From an answer, or none, to a failure and the error that a person reads."""

from zotpy.http.client.transport_errors import TransportError
from zotpy.s3.errors import AmbiguousRefusal, S3Error, S3Refused, S3Unavailable
from zotpy.s3.messages import LONGEST_ERROR_BYTES, Request
from zotpy.s3.transport import Response
from zotpy.s3.wire.error_answers import error_inside, parse_failure
from zotpy.s3.wire.retry import Failure

_FORBIDDEN = 403
_PROXY_AUTHENTICATION = 407
_PERMISSION_CODES = frozenset({"", "AccessDenied", "AllAccessDisabled", "Forbidden"})
_PERMISSIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateBucket": "s3:CreateBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
}
"""What AWS's policies call each operation (*Required permissions for Amazon S3 API operations*)."""


async def read_whole(request: Request, response: Response) -> bytes:
    """Read the body of an answer; of an error only as much as is needed.

    Raises `S3Refused` if the body of a success is longer than `request.most_bytes`, and `TransportError`.
    """
    most_bytes = request.most_bytes if response.is_success else LONGEST_ERROR_BYTES
    pieces: list[bytes | bytearray | memoryview] = []
    length = 0
    while piece := await response.receive():
        pieces.append(piece)
        length += len(piece)
        if length > most_bytes:
            if not response.is_success:
                break
            reason = f"its answer is longer than {most_bytes} bytes, so zotpy did not read the rest"
            raise S3Refused(request.operation, response.status, "", reason)
        if len(pieces) > 256:  # noqa: PLR2004 - a store that sends byte by byte: each piece costs more than its bytes
            pieces = [b"".join(pieces)]
    first = pieces[0] if pieces else b""
    return first if len(pieces) < 2 and isinstance(first, bytes) else b"".join(pieces)  # noqa: PLR2004


def failure_of(request: Request, response: Response, body: bytes) -> Failure | None:
    """Return the failure that an answer reports; `None` is success."""
    if not response.is_success:
        return parse_failure(response.status, body, response.headers)
    # Only a POST may fail after its 200. The body of a GET is an object, which may well look like an error.
    return parse_failure(500, body, response.headers) if request.method == "POST" and error_inside(body) else None


def no_answer(error: TransportError) -> Failure:
    """Return the failure of an attempt that got no answer, or not all of it."""
    return Failure(code=type(error).__name__, reason=str(error))


def refused_or_unavailable(request: Request, failure: Failure, bucket: str, *, ambiguous: bool) -> S3Error:
    """Return the error of a call whose last attempt failed in this way."""
    if failure.may_pass or (request.checksum and failure.is_damage):  # the buffer has the right bytes
        return unavailable(request, failure, "all attempts failed")
    kind = AmbiguousRefusal if ambiguous else S3Refused
    reasons = [failure.reason, _missing_permission(request, failure, bucket)]
    if failure.status == _PROXY_AUTHENTICATION:
        reasons.append("the proxy in HTTP_PROXY asks for a name and a password: write http://NAME:PASSWORD@HOST:PORT")
    if not failure.code and request.method != "HEAD" and failure.status not in {_FORBIDDEN, _PROXY_AUTHENTICATION}:
        reasons.append("this is no error of S3: check the address of the service, and its port")
    return kind(request.operation, failure.status or 0, failure.code, "; ".join(filter(None, reasons)))


def unavailable(request: Request, failure: Failure, outcome: str) -> S3Unavailable:
    """Return the error of a call that did not finish. `outcome` says why no further attempt was made."""
    reason = f" ({failure.reason})" if failure.reason else ""
    last = f"{failure.status or 'no answer'} {failure.code}".rstrip()
    return S3Unavailable(f"{request.operation}: {outcome}; last: {last}{reason}", failure.status or 0, failure.code)


def _missing_permission(request: Request, failure: Failure, bucket: str) -> str:
    if failure.status != _FORBIDDEN or failure.code not in _PERMISSION_CODES:
        return ""
    return f"allow its keys {_PERMISSIONS.get(request.operation, request.operation)} on the bucket {bucket!r}"
