"""AWS Signature Version 4: in headers, and for S3 in the query of a presigned URL.

Source: the AWS documentation, *Authenticating Requests (AWS Signature Version 4)*.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"
_RESERVED = re.compile(r"[^A-Za-z0-9/_.~-]+")
_USUAL = re.compile(r"[A-Za-z0-9/_.~!-]*")
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials at one moment."""

    access_key: str
    secret_key: str
    session_token: str | None = None
    expires: datetime | None = field(default=None, compare=False)
    """When they end, aware; `None`: never, or unknown."""


def quote_path(path: str) -> str:
    """Percent-encode a path as S3 canonicalizes it: everything but unreserved characters and `/`."""
    if _USUAL.fullmatch(path) is not None:  # a sign of ours ends the name of a repository
        return path.replace("!", "%21")
    return _RESERVED.sub(_quoted, path)


def _quoted(found: re.Match[str]) -> str:
    return quote(found[0], safe="")


def encode_query(query: Query) -> str:
    """Write a query in canonical order and encoding."""
    if not query:
        return ""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


@lru_cache(maxsize=16)
def _signing_hashes(secret_key: str, day: str, region: str, service: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return the inner and the outer hash of the HMAC that signs on one day (RFC 2104), to be copied.

    They know the key already. With copies of them a signature takes less time than with hmac's objects.
    """
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    block = key.ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


@lru_cache(maxsize=4)
def _stamp(second: datetime) -> str:
    return second.strftime("%Y%m%dT%H%M%SZ")


def _signature(keys: Keys, region: str, stamp: str, scope: str, canonical: str, service: str = "s3") -> str:
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    within, around = _signing_hashes(keys.secret_key, stamp[:8], region, service)
    inner, outer = within.copy(), around.copy()
    inner.update(text.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


def sign(  # noqa: PLR0913 - a signature is of so many parts
    keys: Keys,
    region: str,
    now: datetime,
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    payload_sha256: str,
    *,
    service: str = "s3",
    shows_payload: bool = True,
) -> dict[str, str]:
    """Return `headers` (which hold Host, in lower case), with those of the signature, without blanks around values.

    `path` is already percent-encoded. `payload_sha256` is in hexadecimal, or `UNSIGNED`. `service` is its name in
    signatures. `shows_payload`: the request has a header with that digest, which S3 wants.
    """
    stamp = _stamp(now.replace(microsecond=0))
    signed = dict(zip(headers, map(str.strip, headers.values(), repeat(" \t")), strict=True))
    signed["x-amz-date"] = stamp
    if shows_payload:
        signed["x-amz-content-sha256"] = payload_sha256
    if keys.session_token:
        signed["x-amz-security-token"] = keys.session_token.strip(" \t")
    lines = "\n".join(map(":".join, sorted(signed.items())))
    name_list = ";".join(sorted(signed))
    encoded = encode_query(query) if query else ""
    canonical = f"{method}\n{path}\n{encoded}\n{lines}\n\n{name_list}\n{payload_sha256}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signature = _signature(keys, region, stamp, scope, canonical, service)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={name_list}, Signature={signature}"
    )
    return signed


def presign(keys: Keys, region: str, now: datetime, host: str, path: str, query: Query, expires_s: int) -> str:
    """Return the query of a GET that needs no credentials for `expires_s` seconds (1 to 604,800)."""
    stamp = _stamp(now.replace(microsecond=0))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    full = [
        *query,
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{keys.access_key}/{scope}"),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(expires_s)),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if keys.session_token:
        full.append(("X-Amz-Security-Token", keys.session_token))
    encoded = encode_query(full)
    canonical = "\n".join(["GET", path, encoded, f"host:{host}\n", "host", UNSIGNED])
    return f"{encoded}&X-Amz-Signature={_signature(keys, region, stamp, scope, canonical)}"
