"""The keys of the cluster that sign the tokens of callers. A new one is made every 30 days, and old ones are kept.

The key of each 30 days (of Unix time) is one object, `meta/token-keys/<number>`, which is made once. The store's clock
says which number is today's. If two replicas make it at once, both use what the faster one has written. So a token that
any replica signed is good at every replica. A replica signs with the newest key that it knows. It reads the key of a
token that it does not know, at most once in some seconds for each of the few numbers that can exist. So neither a
rotation nor a stranger's token costs more than that.

Each object also has a random name in it. If an operator deletes the objects, the replicas make others, and no token
counts any more.
"""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil

import structlog
import trio

from zotpy.bucket.store_clock import StoreClock
from zotpy.bucket.sweeps import pages
from zotpy.core import keys
from zotpy.core.framing import FramingError, frame, unframe
from zotpy.core.upload_tokens import SigningKey
from zotpy.store.interface import ConditionFailed, KeyMissing, Store, StoreError

SECRET_BYTES = 32
NUMBER_S = 30 * 24 * 3600
"""How long a replica signs with one key."""
LOOK_S = 300.0
"""How often a replica reads the keys again."""
ASK_AGAIN_S = 10.0
"""For how long a key that could not be found is not read again."""
_KEY_ID = re.compile(r"zotpy\.(\d{1,9})\.[0-9a-f]{16}", re.ASCII)

log = structlog.get_logger()


@dataclass(slots=True)
class TokenKeys:
    """The keys that count now."""

    store: Store
    keep_s: float
    """How long the longest token lasts."""
    clock: StoreClock = field(default_factory=StoreClock)
    """Set at each look."""
    losses: int = field(default=0, init=False)
    """How often keys were found that count no more: what was remembered of their tokens counts no more either."""
    _known: dict[int, SigningKey] = field(default_factory=dict)
    _asked: dict[int, float] = field(default_factory=dict)
    """When the key of a number was read last, on trio's clock."""
    _reading: dict[int, trio.Event] = field(default_factory=dict, init=False)
    """The keys that are being read, each with what is set at the end."""

    @classmethod
    async def open(cls, store: Store, keep_s: float, clock: StoreClock | None = None) -> "TokenKeys":
        """Read the keys, and make the one of today if nobody has. Raises `StoreError`."""
        ring = cls(store, keep_s, clock or StoreClock())
        await ring.look()
        return ring

    async def keep_current(self, rung: Callable[[], object]) -> None:
        """Read the keys again every few minutes, and whenever `rung` returns, until cancelled."""
        while True:
            with trio.move_on_after(min(LOOK_S, NUMBER_S - self.clock.now() % NUMBER_S)):
                await rung()  # type: ignore[misc]  # the bell's
            try:
                await self.look()
            except (FramingError, StoreError) as error:
                log.warning("token_keys_not_read", reason=str(error))
                await trio.sleep(ASK_AGAIN_S)

    async def look(self) -> None:
        """Read every key that counts, make that of today if it does not exist, and delete those whose time is over."""
        names = list[str]()
        async for page in pages(self.store, keys.TOKEN_KEYS):
            self.clock.note(page.store_time)
            names.extend(listed.key for listed in page.objects)
        today = self._today()
        found: dict[int, SigningKey] = {}
        for name in names:
            number = keys.token_key_number(name)
            if number is None or number > today + 1:
                continue
            if number < self._oldest():
                await self.store.delete(name)
            elif (key := await self._read(number)) is not None:
                found[number] = key
        if today not in found:
            found[today] = await self._make(today)
        if any(found.get(number) != key for number, key in self._known.items()):
            self.losses += 1
        self._known = found

    @property
    def current(self) -> SigningKey:
        """The key to sign with."""
        today = self._today()
        return self._known[max((number for number in self._known if number <= today), default=max(self._known))]

    async def find(self, key_id: str) -> SigningKey | None:
        """Return the key of a token; `None`: no such key counts. Raises `StoreError`."""
        if (named := _KEY_ID.fullmatch(key_id)) is None:
            return None
        number = int(named[1])
        known = self._known.get(number)
        if known is None or known.key_id != key_id:
            if self._may_ask(number):
                with trio.CancelScope(shield=True):  # else a stranger who leaves at once keeps the key from all others
                    await self._learn(number)
            elif number in self._reading:
                await self._reading[number].wait()
            known = self._known.get(number)
        return known if known is not None and known.key_id == key_id else None

    async def _learn(self, number: int) -> None:
        """Read a key. Those who need the same one meanwhile wait for it. Raises `StoreError`."""
        done = self._reading[number] = trio.Event()
        try:
            if (found := await self._read(number)) is not None:
                self.losses += self._known.get(number, found) != found
                self._known[number] = found
        finally:
            del self._reading[number]
            done.set()

    def _may_ask(self, number: int) -> bool:
        if not self._oldest() <= number <= self._today() + 1:
            return False
        now = trio.current_time()
        if now - self._asked.get(number, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return False
        self._asked = {each: at for each, at in self._asked.items() if now - at < ASK_AGAIN_S} | {number: now}
        return True

    def _today(self) -> int:
        return int(self.clock.now() // NUMBER_S)

    def _oldest(self) -> int:
        """Return the oldest number whose tokens may still count, with one to spare if the store's hosts differ."""
        return self._today() - ceil(self.keep_s / NUMBER_S) - 1

    async def _make(self, number: int) -> SigningKey:
        value = frame({"v": 1, "id": f"zotpy.{number}.{secrets.token_hex(8)}"}, secrets.token_bytes(SECRET_BYTES))
        name = keys.token_key(number)
        with suppress(ConditionFailed):
            await self.store.put(name, value, if_none_match=self.store.features.conditional_create)
        made = await self._read(number)
        assert made is not None  # noqa: S101 - nobody deletes the key of today in the instant in which it is made
        return made

    async def _read(self, number: int) -> SigningKey | None:
        try:
            header, secret = unframe((await self.store.get(keys.token_key(number))).body)
        except KeyMissing:
            return None
        return SigningKey(str(header.get("id")), secret)
