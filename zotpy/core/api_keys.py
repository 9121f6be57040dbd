"""API keys: passwords that zotpy makes for its users. The bucket has what is known of each, and only a hash of it.

A key says where its object is::

    zak_<16 hex digits: the owner><32 hex digits: random>

So one read finds it, and all keys of an owner are in one listing. The id by which owners manage a key is a part of the
key's hash. 128 random bits stay secret, so neither the id nor the object leads back to the key.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from zotpy.core.framing import FramingError

_KEY = re.compile(rb"zak_[0-9a-f]{48}")
_OWNER_DIGITS = 16
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
VERSION = 1


def owner_code(owner: str) -> str:
    """Return the digits by which keys name their owner. They are no secret, and two owners may share them."""
    return hashlib.sha256(owner.encode()).hexdigest()[:_OWNER_DIGITS]


def new_key(owner: str) -> str:
    """Make a key."""
    return f"zak_{owner_code(owner)}{secrets.token_hex(16)}"


def is_key(password: bytes) -> bool:
    """Say whether a password has the form of a key."""
    return _KEY.fullmatch(password) is not None


def owner_code_of(key: str) -> str:
    """Return the digits of the owner in a key."""
    return key[4 : 4 + _OWNER_DIGITS]


def digest_of(key: str) -> str:
    """Return the hash of a key, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of(key: str) -> str:
    """Return the id of a key: 32 hexadecimal digits."""
    return digest_of(key)[:32]


def read_id(text: str) -> str | None:
    """Read an id as clients write it, with or without dashes. `None`: the text is none."""
    plain = text.replace("-", "").lower()
    return plain if _ID.fullmatch(plain) else None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of one key."""

    digest: str
    owner: str
    """The name of the user who made it."""
    groups: frozenset[str]
    """Groups that the owner's login said when the key was made."""
    label: str
    scopes: tuple[str, ...]
    """As the owner wrote them; empty: the key may do all that its owner may."""
    created: datetime
    expires: datetime | None = None
    """`None`: never."""
    creator: str = ""
    """The program that asked for it, as it names itself."""

    @property
    def key_id(self) -> str:
        """The id, as it is written in the bucket."""
        return self.digest[:32]

    @property
    def uuid(self) -> str:
        """The id, as owners see it."""
        return str(UUID(hex=self.key_id))

    def fits(self, key: str) -> bool:
        """Say whether this is what is known of a key."""
        return hmac.compare_digest(self.digest, digest_of(key))

    def has_expired(self, now: datetime) -> bool:
        """Say whether its time is over."""
        return self.expires is not None and now >= self.expires

    def header(self) -> dict[str, Any]:
        """Write it as the header of an object."""
        return {
            "v": VERSION,
            "digest": self.digest,
            "owner": self.owner,
            "groups": sorted(self.groups),
            "label": self.label,
            "scopes": list(self.scopes),
            "created": self.created.isoformat(),
            "expires": None if self.expires is None else self.expires.isoformat(),
            "creator": self.creator,
        }

    @classmethod
    def parse(cls, header: dict[str, Any]) -> Self:
        """Read the header of an object. Raises `FramingError`."""
        try:
            expires = header["expires"]
            return cls(
                str(header["digest"]),
                str(header["owner"]),
                frozenset(map(str, header["groups"])),
                str(header["label"]),
                tuple(map(str, header["scopes"])),
                datetime.fromisoformat(header["created"]),
                None if expires is None else datetime.fromisoformat(expires),
                str(header["creator"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = "an object of the bucket below meta/api-keys is damaged"
            raise FramingError(msg) from error
