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
    _beginning: trio.Lock = field(default_factory=trio.Lock)

    async def send(self, number: int, body: Pieces) -> SentPart:
        """Send one part. Raises `StoreError`."""
        multipart = await self._begun()
        part = await self.store.put_part(multipart.key, multipart.multipart_id, number, body)
        return SentPart(part.number, part.etag, part.crc32c)

    async def _begun(self) -> BegunMultipart:
        """Return the multipart. The first part creates it, and the others wait for that."""
        async with self._beginning:
            if (multipart := self.multipart()) is None:
                data_id = keys.new_id()
                multipart = BegunMultipart(data_id, await self.store.create_multipart(keys.data(data_id)))
                self.on_begun(multipart)
            return multipart
