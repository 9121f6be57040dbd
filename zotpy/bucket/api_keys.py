"""The API keys in the bucket: one object each, `meta/api-keys/<owner's digits>/<id>`, until its owner revokes it.

No replica keeps a list of them. An object is written once, and deleted once. Nobody can use a key before its object was
written, since only the answer to that request says the key. So a write that comes late brings back no revoked key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.api_keys import ApiKey, id_of, owner_code, owner_code_of
from zotpy.core.framing import frame, unframe
from zotpy.store.interface import KeyMissing, Store

AT_ONCE = 16
"""How many objects are read at the same time for a list."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Finds, lists, adds and deletes keys."""

    store: Store

    async def find(self, key: str) -> ApiKey | None:
        """Return what is known of a key: one store call. `None`: nobody made it, or it was revoked."""
        found = await self._read(keys.api_key(owner_code_of(key), id_of(key)))
        return found if found is not None and found.fits(key) else None

    async def of_owner(self, owner: str, most: int) -> Sequence[ApiKey]:
        """Return the keys of an owner, at most this many (up to 1,000): one store call, and one for each key."""
        listing = await self.store.list(keys.api_keys(owner_code(owner)), limit=most)
        found = await gather(*(partial(self._read, each.key) for each in listing.objects), limit=AT_ONCE)
        return [each for each in found if each is not None and each.owner == owner]

    async def add(self, api_key: ApiKey) -> None:
        """Write what is known of a new key."""
        await self.store.put(keys.api_key(owner_code(api_key.owner), api_key.key_id), frame(api_key.header()))

    async def revoke(self, owner: str, key_id: str) -> bool:
        """Delete a key of an owner. `False`: the owner has no such key."""
        place = keys.api_key(owner_code(owner), key_id)
        found = await self._read(place)
        if found is None or found.owner != owner:
            return False
        await self.store.delete(place)
        return True

    async def _read(self, place: str) -> ApiKey | None:
        try:
            fetched = await self.store.get(place)
        except KeyMissing:
            return None
        return ApiKey.parse(unframe(fetched.body)[0])
