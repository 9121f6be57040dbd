"""Google's workload identity federation: what another issuer says of this machine stands for a service account.

What it says is a token in a file or at a URL, or a request that AWS's keys sign. Source: AIP-4117.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio

from zotpy.core.json_objects import read_object
from zotpy.s3.credentials import Credentials as AwsCredentials
from zotpy.upstream.errors import UpstreamUnavailable, words_of
from zotpy.upstream.temporary import service_requests
from zotpy.upstream.temporary.aws_identity import AwsIdentity
from zotpy.upstream.temporary.secret_files import read_secret, text_of
from zotpy.upstream.temporary.service_requests import ask, document_of, life_of, text_at, token_of


async def subject_token(
    document: Mapping[str, Any], file: Path, aws: AwsCredentials, environ: Mapping[str, str] = os.environ
) -> str:
    """Return what is exchanged for Google's token. `aws` are the keys of AWS. Raises `UpstreamUnavailable`."""
    source = document.get("credential_source")
    if not isinstance(source, dict):
        msg = f"{file} has no credential_source"
        raise UpstreamUnavailable(msg)
    if "environment_id" in source:
        return await AwsIdentity(source, file, aws, environ).token(text_of(document, "audience", file))
    if "executable" in source:
        msg = f"{file}: zotpy runs no program for a token: name a file or a url in credential_source"
        raise UpstreamUnavailable(msg)
    if isinstance(source.get("file"), str) == isinstance(source.get("url"), str):
        msg = f"{file}: name the token of the external account in credential_source.file, or in credential_source.url"
        raise UpstreamUnavailable(msg)
    if isinstance(source.get("file"), str):
        where = source["file"]
        written = await trio.to_thread.run_sync(partial(read_secret, Path(where)))
    else:
        where = source["url"]
        written = await text_at("GET", where, source.get("headers") or {}, file)
    return _token(written, where, source.get("format"), file)


def _token(written: str, where: str, kind: object, file: Path) -> str:
    """Return the token in what a file or a server has: the whole text, or a field of JSON."""
    kind = {"type": "text"} if kind is None else kind
    if not isinstance(kind, dict) or kind.get("type") not in {"text", "json"}:
        msg = f"{file}: the type in credential_source.format is text or json"
        raise UpstreamUnavailable(msg)
    if kind["type"] == "text":
        return written
    try:
        document = read_object(written)
    except ValueError as error:
        msg = f"{words_of(where)} {error}"
        raise UpstreamUnavailable(msg) from None
    return text_of(document, text_of(kind, "subject_token_field_name", file), words_of(where))


async def impersonated(url: str, token: str, body: bytes) -> tuple[str, float]:
    """Ask for a token of the service account. Return it and its life in seconds. Raises `UpstreamUnavailable`."""
    service = "the service account's impersonation"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    document = document_of(await ask("POST", url, headers, body), service)
    found = token_of(document, "accessToken", service)
    try:
        ends = datetime.fromisoformat(str(document.get("expireTime")))
    except ValueError:
        ends = service_requests.now()
    left_s = (ends.replace(tzinfo=ends.tzinfo or UTC) - service_requests.now()).total_seconds()
    return found, life_of(left_s, 60.0)
