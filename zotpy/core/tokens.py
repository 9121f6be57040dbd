"""The signed token in an upload's Location. Any replica can check it, and beginning an upload costs no store call.

Its form is `<base64url(JSON)>.<base64url(HMAC-SHA-256)>`. The signature also covers the repository and the upload's id,
although they are in the path, and whose upload it is, which every request says anew.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Self

from zotpy.core.errors import UploadUnknown

_LONGEST = 512
"""Tokens have some 140 characters. A longer text is not decoded."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret of the cluster, kept in the bucket."""

    key_id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class UploadToken:
    """What the client carries between two requests of one upload."""

    repo: str
    upload_id: str
    algorithm: str
    offset: int
    """How many bytes were safe when this token was made; 0: the store has nothing of the upload yet."""
    owner: str = ""
    """Who began the upload; empty if they have not said who they are. The signature covers it, and no text has it."""

    def sign(self, key: SigningKey) -> str:
        """Write the token for the query of a Location."""
        payload = json.dumps({"k": key.key_id, "a": self.algorithm, "o": self.offset}, separators=(",", ":")).encode()
        return f"{_encode(payload)}.{_encode(self._mac(payload, key))}"

    def _mac(self, payload: bytes, key: SigningKey) -> bytes:
        signed = b"\0".join([self.repo.encode(), self.upload_id.encode(), payload])
        if self.owner:  # its hash, because a name may be like a payload, which is JSON and has no zero byte
            signed += b"\0" + hashlib.sha256(self.owner.encode()).digest()
        return hmac.digest(key.secret, signed, hashlib.sha256)

    @classmethod
    def verify(cls, text: str, repo: str, upload_id: str, key: SigningKey, owner: str = "") -> Self:
        """Read a token that `key` signed for this upload of this owner. Raises `UploadUnknown`."""
        payload, mac = _split(text)
        fields = _fields(payload)
        token = cls(repo, upload_id, str(fields["a"]), int(str(fields["o"])), owner)
        if not hmac.compare_digest(token._mac(payload, key), mac):
            raise _unknown()
        return token


def token_key_id(text: str) -> str:
    """Read which key signed a token. Raises `UploadUnknown`."""
    payload, _ = _split(text)
    return str(_fields(payload)["k"])


def _unknown() -> UploadUnknown:
    return UploadUnknown("this is not the Location of an upload to this repository: begin one with POST")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _split(text: str) -> tuple[bytes, bytes]:
    if len(text) > _LONGEST:
        raise _unknown()
    payload, dot, mac = text.partition(".")
    try:
        decoded = [base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in (payload, mac)]
    except ValueError as error:
        raise _unknown() from error
    if not dot:
        raise _unknown()
    return decoded[0], decoded[1]


def _fields(payload: bytes) -> dict[str, object]:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _unknown() from error
    if not isinstance(fields, dict) or not {"k", "a", "o"} <= fields.keys() or type(fields["o"]) is not int:
        raise _unknown()
    return fields
