"""S3's errors in the words of the store's contract: one table."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

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


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what the S3 client raises into a `StoreError`."""
    try:
        yield
    except S3Refused as error:
        kind = _CODES.get(error.code) if error.code else _UNCODED.get((error.operation, error.status))
        if kind is None and error.status == HTTPStatus.INSUFFICIENT_STORAGE:
            kind = StoreFull
        raise (kind or StoreRefused)(str(error)) from error
    except (S3Unavailable, ResponseError) as error:
        raise StoreUnavailable(str(error)) from error
    except S3Error as error:
        raise StoreRefused(str(error)) from error
