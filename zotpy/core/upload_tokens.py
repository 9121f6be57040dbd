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
from zotpy.core.json_objects import read_object
from zotpy.core.quick import quickly_made

_LONGEST = 512
"""Tokens have some 140 characters. A longer text is not decoded."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret of the cluster, kept in the bucket."""

    key_id: str
    secret: bytes


@quickly_made
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
        payload = _ENCODER.encode({"k": key.key_id, "a": self.algorithm, "o": self.offset}).encode()
        return f"{_encode(payload)}.{_encode(self.mac(payload, key))}"

    def mac(self, payload: bytes, key: SigningKey) -> bytes:
        """Compute the signature of what a text says, `payload`, and of what only the request says."""
        signed = b"\0".join([self.repo.encode(), self.upload_id.encode(), payload])
        if self.owner:  # its hash, because a name may be like a payload, which is JSON and has no zero byte
            signed += b"\0" + hashlib.sha256(self.owner.encode()).digest()
        return hmac.digest(key.secret, signed, hashlib.sha256)


@quickly_made
@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token as a client has brought it back: read, and not verified."""

    key_id: str
    """Which key has signed it, as it says."""
    algorithm: str
    offset: int
    _payload: bytes
    _mac: bytes

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a text. Raises `UploadUnknown`."""
        payload, mac = _split(text)
        fields = _fields(payload)
        return cls(str(fields["k"]), str(fields["a"]), int(str(fields["o"])), payload, mac)

    def verify(self, repo: str, upload_id: str, key: SigningKey, owner: str = "") -> UploadToken:
        """Return the token if `key` has signed it for this upload of this owner. Raises `UploadUnknown`."""
        token = UploadToken(repo, upload_id, self.algorithm, self.offset, owner)
        if not hmac.compare_digest(token.mac(self._payload, key), self._mac):
            raise _unknown()
        return token


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
        fields = read_object(payload)
    except ValueError as error:
        raise _unknown() from error
    if not {"k", "a", "o"} <= fields.keys() or type(fields["o"]) is not int:
        raise _unknown()
    return fields
