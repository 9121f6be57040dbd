"""The cluster's signing keys: any replica can check what another one signed.

Each key is an object of its own, written once. So two replicas that start at the same moment on an empty bucket need no
lock. Each writes a key, all keys stay valid, and every replica signs with the first by name.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from zotpy.bucket.sweeps import list_all
from zotpy.core import keys
from zotpy.core.errors import UploadUnknown
from zotpy.core.framing import frame, unframe
from zotpy.core.upload_tokens import ShownToken, SigningKey, UploadToken
from zotpy.store.interface import KeyMissing, Store

SECRET_BYTES = 32
_KEY_ID_LENGTH = 32
REMEMBERED = 1024
"""How many of the tokens that it has signed a replica remembers: mostly the client brings one back a moment later."""


@dataclass
class Keyring:
    """Signs upload tokens, and verifies those of every replica."""

    store: Store
    _known: dict[str, SigningKey] = field(default_factory=dict)
    _signed: dict[str, UploadToken] = field(default_factory=dict)
    """By their text, the oldest first."""

    @classmethod
    async def load(cls, store: Store) -> "Keyring":
        """Read the bucket's keys. Write one if none exists yet."""
        ring = cls(store)
        for listed in await list_all(store, keys.SIGNING_KEYS):
            await ring._fetch(listed.key.removeprefix(keys.SIGNING_KEYS))
        if not ring._known:
            key = SigningKey(keys.new_id(), secrets.token_bytes(SECRET_BYTES))
            await store.put(keys.signing_key(key.key_id), frame({"v": 1}, key.secret))
            ring._known[key.key_id] = key
        return ring

    @property
    def remembered(self) -> Collection[UploadToken]:
        """The tokens that were signed here lately, the oldest first."""
        return self._signed.values()

    def sign(self, token: UploadToken) -> str:
        """Write a token that any replica can check."""
        text = token.sign(self._known[min(self._known)])
        self._signed[text] = token
        if len(self._signed) > REMEMBERED:
            del self._signed[next(iter(self._signed))]
        return text

    async def verify(self, text: str, repo: str, upload_id: str, owner: str = "") -> UploadToken:
        """Read a token of this owner. This costs one store call if its key was written after this replica started.

        Raises `UploadUnknown`.
        """
        ours = self._signed.get(text)
        if ours is not None and (ours.repo, ours.upload_id, ours.owner) == (repo, upload_id, owner):
            return ours
        shown = ShownToken.read(text)
        if shown.key_id not in self._known and not await self._fetch(shown.key_id):
            msg = "this upload was begun at another registry: begin a new one here with POST"
            raise UploadUnknown(msg)
        return shown.verify(repo, upload_id, self._known[shown.key_id], owner)

    async def _fetch(self, key_id: str) -> bool:
        if len(key_id) != _KEY_ID_LENGTH or not key_id.isalnum():
            return False
        try:
            fetched = await self.store.get(keys.signing_key(key_id))
        except KeyMissing:
            return False
        _, secret = unframe(fetched.body)
        self._known[key_id] = SigningKey(key_id, secret)
        return True
