"""Logins at Amazon ECR: `GetAuthorizationToken` of its API, signed with the keys of the AWS chain.

Source: AWS, *Amazon ECR API Reference*; AWS JSON protocol 1.1. A login lasts 12 hours.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from zotpy.core.ecr_hosts import EcrHost
from zotpy.s3.credentials import Credentials as AwsCredentials
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys, sign
from zotpy.upstream.errors import UpstreamUnavailable
from zotpy.upstream.login import LONGEST_TOKEN, Login
from zotpy.upstream.temporary import service_requests
from zotpy.upstream.temporary.remembered import Temporary
from zotpy.upstream.temporary.service_requests import ServiceAnswer, ask, document_of, life_of

MARGIN_S = 3600.0
"""zot renews a login an hour before its end."""
USUAL_LIFE_S = 12 * 3600.0
_TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


class EcrService:
    """The service of one account and region."""

    def __init__(
        self,
        registry: EcrHost,
        keys: AwsCredentials,
        *,
        url: str | None = None,
        now: Callable[[], datetime] = service_requests.now,
    ) -> None:
        """Ask nobody yet. `url` is the service's, without a path; `None`: the one of the host's region."""
        self._registry = registry
        self._keys = keys
        self._url = url or f"https://{registry.service}"
        self._now = now

    async def __call__(self) -> Temporary:
        """See `zotpy.upstream.temporary.remembered.Mint`."""
        keys = await self._current()
        answer = await self._send(keys)
        if answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN} and await self._keys.renew(keys):
            answer = await self._send(await self._current())
        return self._read(document_of(answer, self._registry.service))

    async def _current(self) -> Keys:
        try:
            return await self._keys()
        except S3Unavailable as error:
            raise UpstreamUnavailable(str(error)) from error

    async def _send(self, keys: Keys) -> ServiceAnswer:
        body = json.dumps({"registryIds": [self._registry.account]}).encode()
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": self._url.partition("://")[2],
            "x-amz-target": _TARGET,
        }
        sha256 = hashlib.sha256(body).hexdigest()
        signed = sign(keys, self._registry.region, self._now(), "POST", "/", (), headers, sha256, service="ecr")
        return await ask("POST", f"{self._url}/", signed, body)

    def _read(self, document: Any) -> Temporary:
        """Read the answer. Raises `UpstreamUnavailable`."""
        try:
            (data,) = document["authorizationData"]
            text = data["authorizationToken"]
            name, colon, password = base64.b64decode(text, validate=True).decode("ascii").partition(":")
            ends = data.get("expiresAt")
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            name, colon, password, ends = "", "", "", None
        if not (name and colon and password) or len(password) > LONGEST_TOKEN:
            msg = f"{self._registry.service} answers without a login for the account {self._registry.account}"
            raise UpstreamUnavailable(msg)
        left = ends - self._now().timestamp() if isinstance(ends, int | float) else None
        return Temporary(Login(name, password), life_of(left, USUAL_LIFE_S))
