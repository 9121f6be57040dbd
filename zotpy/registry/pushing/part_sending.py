"""Sending the parts of one upload. Its multipart begins with the first of them, while the body is being read."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from zotpy.core import keys
from zotpy.core.pieces import Pieces
from zotpy.core.upload_state import BegunMultipart, SentPart
from zotpy.store.interface import Store


@dataclass(eq=False, slots=True)
class PartSender:
    """Sends parts, several at once and in any order."""

    store: Store
    multipart: Callable[[], BegunMultipart | None]
    """Says which multipart the upload has. `None`: it does not exist yet."""
    on_begun: Callable[[BegunMultipart], None]
    """Called when the multipart has been created. From then on `multipart` returns it."""
    most_bytes: int | None
    """How long parts may be together that are sent at once in turn, unless one alone is longer; `None`: as all are."""
    _beginning: trio.Lock = field(default_factory=trio.Lock)
    _turn: trio.Lock = field(default_factory=trio.Lock)
    """Held by the part that is sent next, while it waits."""
    _sending_bytes: int = 0
    _sent: trio.Event = field(default_factory=trio.Event)

    async def send(self, number: int, body: Pieces) -> SentPart:
        """Send one part. Raises `StoreError`."""
        multipart = await self._begun()
        part = await self.store.put_part(multipart.key, multipart.multipart_id, number, body)
        return SentPart(part.number, part.etag, part.crc32c)

    async def send_in_turn(self, number: int, body: Pieces) -> SentPart:
        """Do the same once others were sent, if too many are being sent. Raises `StoreError`."""
        if self.most_bytes is None:
            return await self.send(number, body)
        size_bytes = len(body)
        async with self._turn:
            while self._sending_bytes and self._sending_bytes + size_bytes > self.most_bytes:
                self._sent = trio.Event()
                await self._sent.wait()
            self._sending_bytes += size_bytes
        try:
            return await self.send(number, body)
        finally:
            self._sending_bytes -= size_bytes
            self._sent.set()

    async def _begun(self) -> BegunMultipart:
        """Return the multipart. The first part creates it, and the others wait for that."""
        async with self._beginning:
            if (multipart := self.multipart()) is None:
                data_id = keys.new_id()
                multipart = BegunMultipart(data_id, await self.store.create_multipart(keys.data(data_id)))
                self.on_begun(multipart)
            return multipart
