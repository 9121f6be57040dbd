"""Reads that share a call: those of one key that wait at one replica share the *next* call to the store.

A thousand clients that pull one tag at once would make a thousand calls. Here one call is under way for a key, and all
who ask meanwhile wait for the one after it. No request shares a call that began before the request came. So no answer
is older than its request: it shows all that any replica had acknowledged by then.

One of those who wait makes the call in its own task. If that task is cancelled, another one makes the call again.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

import trio

from zotpy.core import keys
from zotpy.store.interface import Fetched, Store, StoreError, require
from zotpy.store.wrapper import StoreWrapper

JOINED = (keys.ENTRIES, keys.TAGS)
"""The keys that many clients read at once: blobs and manifests by digest, and tags."""
Read = tuple[str, int | None]
"""The key, and how much of the object is read."""


@dataclass(eq=False, slots=True)
class _Waiter:
    """A read that waits for a call of another task."""

    is_woken: trio.Event = field(default_factory=trio.Event)
    fetched: Fetched | None = None
    error: StoreError | None = None
    leads: bool = False
    """It is its turn to make the call, for all in `_Line.sharing`."""


@dataclass(eq=False, slots=True)
class _Line:
    """The reads of one key: a call is under way."""

    sharing: list[_Waiter] = field(default_factory=list)
    """Those who get its answer. They came before it began."""
    waiting: list[_Waiter] = field(default_factory=list)
    """Those who came since."""


class JoiningStore(StoreWrapper):
    """Makes one call after another for reads of one key, and shares it."""

    def __init__(self, store: Store, on_join: Callable[[], None] = lambda: None) -> None:
        """Stand in front of `store`. `on_join` is called for each read that needed no call of its own."""
        super().__init__(store)
        self._on_join = on_join
        self._lines: dict[Read, _Line] = {}

    async def get(self, key: str, *, most_bytes: int | None = None) -> Fetched:
        """See `Store`."""
        if not key.startswith(JOINED):
            return await self.store.get(key, most_bytes=most_bytes)
        return require(key, await self.find(key, most_bytes=most_bytes))

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """See `Store`."""
        if not key.startswith(JOINED):
            return await self.store.find(key, most_bytes=most_bytes)
        read = key, most_bytes
        line = self._lines.get(read)
        if line is None:
            line = self._lines[read] = _Line()
            return await self._lead(read, line)
        return await self._follow(read, line)

    async def _follow(self, read: Read, line: _Line) -> Fetched | None:
        """Wait for the next call, or make it if it is one's turn."""
        waiter = _Waiter()
        self._place(line).append(waiter)
        try:
            await waiter.is_woken.wait()
        except BaseException:
            for place in (line.sharing, line.waiting):
                if waiter in place:
                    place.remove(waiter)
            if waiter.leads:
                self._pass_on(read, line)
            raise
        if waiter.leads:
            return await self._lead(read, line)
        self._on_join()
        if waiter.error is not None:
            raise waiter.error
        return waiter.fetched

    def _place(self, line: _Line) -> list[_Waiter]:
        """Return where a read waits that has come while a call is under way."""
        return line.waiting

    async def _lead(self, read: Read, line: _Line) -> Fetched | None:
        """Make the call for all who share it. Those that it says nothing to share the next one."""
        key, most_bytes = read
        try:
            fetched = await self.store.find(key, most_bytes=most_bytes)
            for waiter in line.sharing:
                waiter.fetched = fetched
                waiter.is_woken.set()
            line.sharing.clear()
        except StoreError as error:
            for waiter in line.sharing:
                waiter.error = copy(error)  # each raises its own: a traceback holds the frames of one task
                waiter.error.__cause__ = error.__cause__
                waiter.is_woken.set()
            line.sharing.clear()
            raise
        finally:
            self._pass_on(read, line)
        return fetched

    def _pass_on(self, read: Read, line: _Line) -> None:
        """Let the first of those who wait make the next call, for all of them."""
        line.sharing, line.waiting = line.sharing + line.waiting, []
        if not line.sharing:
            del self._lines[read]
            return
        leader = line.sharing.pop(0)
        leader.leads = True
        leader.is_woken.set()
