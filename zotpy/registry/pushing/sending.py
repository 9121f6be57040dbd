"""Sending the parts of one upload. Its multipart begins with the first of them, while the body is being read."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from zotpy.core import keys
from zotpy.core.pieces import Pieces
from zotpy.core.upload_state import SentPart
from zotpy.store.interface import Store


@dataclass(eq=False, slots=True)
class PartSender:
    """Sends parts, several at once and in any order."""

    store: Store
    data_id: str | None
    multipart_id: str | None
    """`None`: the multipart does not exist yet."""
    on_begun: Callable[[str, str], None]
    """Called with both ids when the multipart has been created."""
    _beginning: trio.Lock = field(default_factory=trio.Lock)

    async def send(self, number: int, body: Pieces) -> SentPart:
        """Send one part. Raises `StoreError`."""
        data_id, multipart_id = await self._ids()
        part = await self.store.put_part(keys.data(data_id), multipart_id, number, body)
        return SentPart(part.number, part.etag, part.crc32c)

    async def _ids(self) -> tuple[str, str]:
        """Return the ids of the multipart. The first part creates it, and the others wait for that."""
        async with self._beginning:
            if self.data_id is None or self.multipart_id is None:
                data_id = keys.new_id()
                self.multipart_id = await self.store.create_multipart(keys.data(data_id))
                self.data_id = data_id
                self.on_begun(data_id, self.multipart_id)
            return self.data_id, self.multipart_id
