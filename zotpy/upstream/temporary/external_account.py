"""Google's workload identity federation: a token of another issuer, in a file, stands for a service account."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zotpy.upstream.errors import UpstreamUnavailable
from zotpy.upstream.temporary import services
from zotpy.upstream.temporary.files import read_object_file, read_secret, text_of
from zotpy.upstream.temporary.services import ask, document_of, life_of, token_of


def subject_token(document: Mapping[str, Any], file: Path) -> str:
    """Return the other issuer's token, as text or in JSON. Raises `UpstreamUnavailable`."""
    source = document.get("credential_source")
    if not isinstance(source, dict) or not isinstance(source.get("file"), str):
        msg = f"{file}: zotpy reads the token of an external account from a file: name it in credential_source.file"
        raise UpstreamUnavailable(msg)
    kind = source.get("format")
    token_file = Path(source["file"])
    if isinstance(kind, dict) and kind.get("type") == "json":
        return text_of(read_object_file(token_file), str(kind.get("subject_token_field_name")), token_file)
    return read_secret(token_file)


async def impersonated(url: str, token: str, body: bytes) -> tuple[str, float]:
    """Ask for a token of the service account. Return it and its life in seconds. Raises `UpstreamUnavailable`."""
    service = "the service account's impersonation"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    document = document_of(await ask("POST", url, headers, body), service)
    found = token_of(document, "accessToken", service)
    try:
        ends = datetime.fromisoformat(str(document.get("expireTime")))
    except ValueError:
        ends = services.now()
    left_s = (ends.replace(tzinfo=ends.tzinfo or UTC) - services.now()).total_seconds()
    return found, life_of(left_s, 60.0)
