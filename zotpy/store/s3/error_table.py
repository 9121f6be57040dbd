"""S3's errors in the words of the store's contract: one table."""

from http import HTTPStatus
from types import TracebackType

from zotpy.s3.errors import S3Error, S3Refused, S3Unavailable
from zotpy.s3.wire.responses import ResponseError
from zotpy.store.interface import (
    ConditionFailed,
    ContentRejected,
    KeyMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)

_CODES: dict[str, type[StoreError]] = {
    "NoSuchKey": KeyMissing,
    "NoSuchUpload": KeyMissing,
    "PreconditionFailed": ConditionFailed,
    "InvalidPart": ContentRejected,
    "InvalidPartOrder": ContentRejected,
    "BadDigest": ContentRejected,
    "XAmzContentChecksumMismatch": ContentRejected,
    "InsufficientStorage": StoreFull,
    "QuotaExceeded": StoreFull,
    "XMinioAdminBucketQuotaExceeded": StoreFull,
    "XMinioStorageFull": StoreFull,
}
_UNCODED: dict[tuple[str, int], type[StoreError]] = {
    ("HeadObject", 404): KeyMissing,
    ("PutObject", 412): ConditionFailed,
    ("DeleteObject", 412): ConditionFailed,
}
"""For answers without a document.

A 404 to any other operation comes from some proxy, and says nothing about the object.
"""


class store_errors:  # noqa: N801 - a context manager; as a generator it takes three times as long, for each call
    """Turns what the S3 client raises into a `StoreError`."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise a `StoreError` in place of an error of the S3 client, which is its cause."""
        if error is None:
            return
        if isinstance(error, S3Refused):
            raise _kind_of(error)(str(error)) from error
        if isinstance(error, S3Unavailable | ResponseError | OSError):  # the last: the system has refused something
            raise StoreUnavailable(str(error)) from error
        if isinstance(error, S3Error):
            raise StoreRefused(str(error)) from error


def _kind_of(error: S3Refused) -> type[StoreError]:
    kind = _CODES.get(error.code) if error.code else _UNCODED.get((error.operation, error.status))
    if kind is None:
        return StoreFull if error.status == HTTPStatus.INSUFFICIENT_STORAGE else StoreRefused
    return kind
