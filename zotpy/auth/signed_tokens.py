"""Tokens in the form of JWS (RFC 7515), signed with a secret of the cluster: HMAC-SHA-256, and nothing else.

A reader who takes only this one algorithm cannot be confused about it: neither `none` nor another one is ever tried.
The tokens of other issuers have modules of their own.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from zotpy.core.json_objects import read_object
from zotpy.core.upload_tokens import SigningKey

LONGEST = 64 * 1024
"""A longer text is not decoded."""


class NotSigned(ValueError):
    """The text is no token of this form, or nobody with this key has signed it."""


def sign(claims: Mapping[str, object], key: SigningKey) -> str:
    """Write a token."""
    header = _encoded(json.dumps({"alg": "HS256", "kid": key.key_id, "typ": "JWT"}, separators=(",", ":")).encode())
    payload = _encoded(json.dumps(claims, separators=(",", ":")).encode())
    signed = f"{header}.{payload}"
    return f"{signed}.{_encoded(_mac(signed, key))}"


def header_of(text: str) -> Mapping[str, Any]:
    """Read the header of a token that nobody has checked yet. Raises `NotSigned`."""
    if len(text) > LONGEST or text.count(".") != 2:  # noqa: PLR2004 - header, payload, signature
        msg = "this is no token"
        raise NotSigned(msg)
    return _document(text.partition(".")[0])


def verify(text: str, key: SigningKey) -> Mapping[str, Any]:
    """Return the claims of a token that this key has signed. Raises `NotSigned`. The claims are not looked at."""
    header = header_of(text)
    if header.get("alg") != "HS256" or header.get("kid") != key.key_id or "crit" in header:
        msg = "the token is not signed as the tokens of this registry are"
        raise NotSigned(msg)
    signed, _, mac = text.rpartition(".")
    if not hmac.compare_digest(_mac(signed, key), _decoded(mac)):
        msg = "the signature of the token is not that of its content"
        raise NotSigned(msg)
    return _document(signed.partition(".")[2])


def _mac(signed: str, key: SigningKey) -> bytes:
    return hmac.digest(key.secret, signed.encode(), hashlib.sha256)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError as error:
        msg = "the token is not written in base64url"
        raise NotSigned(msg) from error


def _document(text: str) -> Mapping[str, Any]:
    decoded = _decoded(text)
    try:
        return read_object(decoded)
    except ValueError as error:
        msg = f"a part of the token {error}"
        raise NotSigned(msg) from error
