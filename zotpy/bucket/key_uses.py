"""When API keys were last used: one object for each key that was, `meta/api-key-uses/<owner's digits>/<id>`.

The time is the store's own time of the object (Last-Modified), so no replica's clock is asked. A replica writes it at
most once an hour for each key, and no request waits for that. So the time is an hour too early at most.

A revocation deletes the key first, and then this object. A replica that has written the object
reads the key after that. If the key is gone, it deletes the object again. So no object is left behind, whichever of the
two comes first.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
import trio

from zotpy.core import keys
from zotpy.core.api_keys import ApiKey, owner_code
from zotpy.core.framing import frame
from zotpy.store.interface import KeyMissing, Store, StoreError

EVERY_S = 3600.0
"""How often a replica writes the use of one key at most."""
MOST_REMEMBERED = 4096
"""Of how many keys a replica knows that it has written their use lately."""
MOST_WAITING = 1024
"""How many uses wait to be written. Further ones are not noted; the next use of the key is."""

log = structlog.get_logger()


@dataclass(slots=True)
class KeyUses:
    """Notes uses, and says when the last one was."""

    store: Store
    _quiet_until: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict, init=False)
    """By the owner's digits and the id: until when a use is not written again, on trio's clock."""
    _waiting: dict[tuple[str, str], None] = field(default_factory=dict, init=False)
    _noted: trio.Event = field(default_factory=trio.Event, init=False)

    def note(self, api_key: ApiKey) -> None:
        """Note that a key was used. It never blocks."""
        which, now = (owner_code(api_key.owner), api_key.key_id), trio.current_time()
        if now < self._quiet_until.get(which, now) or len(self._waiting) >= MOST_WAITING:
            return
        self._quiet_until[which] = now + EVERY_S
        self._quiet_until.move_to_end(which)
        if len(self._quiet_until) > MOST_REMEMBERED:
            self._quiet_until.popitem(last=False)
        self._waiting[which] = None
        self._noted.set()

    async def keep_written(self) -> None:
        """Write what was noted, one after another, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            while self._waiting:
                which, _ = self._waiting.popitem()
                try:
                    await self._write(*which)
                except StoreError as error:
                    self._quiet_until.pop(which, None)
                    log.warning("api_key_use_not_written", reason=str(error))

    async def _write(self, owner: str, key_id: str) -> None:
        use = keys.api_key_use(owner, key_id)
        await self.store.put(use, frame({"v": 1}))
        try:
            await self.store.get(keys.api_key(owner, key_id))
        except KeyMissing:
            await self.store.delete(use)

    async def of_owner(self, owner: str) -> Mapping[str, datetime]:
        """Return when the keys of an owner were last used, by their ids, as far as they were: one store call."""
        listing = await self.store.list(keys.api_key_uses(owner_code(owner)))
        return {each.key.rpartition("/")[2]: each.last_modified for each in listing.objects}

    async def forget(self, owner: str, key_id: str) -> None:
        """Delete what is known of the uses of a key that was revoked."""
        await self.store.delete(keys.api_key_use(owner_code(owner), key_id))
