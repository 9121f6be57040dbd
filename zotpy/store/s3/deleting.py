"""Deleting many objects: in one call if the store can, otherwise one by one.

Google's service has no DeleteObjects. S3Proxy's fails if a key does not exist.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from xml.sax.saxutils import escape

import structlog

from zotpy.s3.client import Request, S3Client
from zotpy.s3.errors import S3Error, S3Unavailable
from zotpy.s3.wire import error_answers
from zotpy.store.interface import StoreUnavailable
from zotpy.store.s3.error_table import store_errors
from zotpy.store.single_deletions import delete_each

log = structlog.get_logger()


class Deletions:
    """DeleteObjects, as long as it works."""

    def __init__(self, client: S3Client, prefix: str, delete: Callable[[str], Awaitable[None]]) -> None:
        """Delete single objects with `delete`."""
        self._client = client
        self._prefix = prefix
        self._delete = delete
        self.in_one_call = True
        """Whether DeleteObjects was never refused."""

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete objects, at most 1,000; absent ones are no error. Raises `StoreError`."""
        if not self.in_one_call:
            await delete_each(self._delete, keys)
            return
        try:
            left = await self._delete_objects(keys)
        except S3Error as error:
            if isinstance(error, S3Unavailable) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise StoreUnavailable(str(error)) from error
            await delete_each(self._delete, keys)  # if that fails, too, it says why
            self.in_one_call = False
            log.warning("objects_are_deleted_one_by_one", reason=str(error))
        else:
            await delete_each(self._delete, left)

    async def _delete_objects(self, keys: Sequence[str]) -> Sequence[str]:
        """Call DeleteObjects, and return the keys that it did not delete. Raises `S3Error`."""
        items = "".join(f"<Object><Key>{escape(self._prefix + key)}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{items}</Delete>".encode()
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"content-md5": md5, "content-type": "application/xml"}
        request = Request("DeleteObjects", "POST", None, (("delete", ""),), headers, body, checksum=True)
        answer = await self._client.call(request)
        with store_errors():
            failed = error_answers.delete_errors(answer.body)
        codes = {key.removeprefix(self._prefix): code for key, code in failed if code != "NoSuchKey"}
        if not codes.keys() <= set(keys):
            return keys
        return [key for key in keys if key in codes]
