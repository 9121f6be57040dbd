"""Kept bytes: a first chunk that may be all of a blob waits for its PUT in the object that would be the blob's data.

docker, podman, skopeo and crane send a blob as POST, one PATCH, and a PUT without a body. Were the PATCH to leave its
bytes in the upload's state, as a short tail is left, each byte of a blob shorter than a part would go to the store
twice and come back once. So they are written as `data/<id>`, with an id that nobody had before, and the state names
it. The PUT writes a lease that names it too: no byte moves. A client that says where its chunk lies (Content-Range)
means to send more of them: then a tail is what the next one needs, and it is left in the state. So is that of a chunk
which was cut.

No lease names kept bytes, so the collector takes them for garbage when they are old enough. Why no lease is ever
written that names bytes which are gone:

- A collection begins to take data away by listing all leases, and it looks only at data that is older than the grace
  *when that listing begins* (`zotpy.collector.data_sweep`). A lease written while the bytes are younger than the grace
  is there by then, and is seen; it stays for a grace itself. So bytes younger than the grace may be named, whatever
  collections do, and however many requests name them at once or one after another.
- A PUT names kept bytes only where the state, which tells when they were written, was read before half the grace had
  gone by, and then writes the lease within a deadline, a tenth of the grace at most, or gives up. The lease
  says until when it was to be written, by the store's clock (`zotpy.bucket.reliance`): a replica's own clock only
  spares it from writing one in vain. The rest of the grace is for stores whose hosts' clocks differ, and for leases
  that arrive after their request gave up.
- Older ones are read back, as a tail, and written anew, with a new id. Where they are gone, the client begins again.

Nobody deletes kept bytes but the collector: not a PUT with a wrong digest, not one that finds an older copy, not a
DELETE of the upload, nor a chunk whose state was overtaken. Another request may have read the state before, and be
about to write the lease.
"""

from dataclasses import replace

from zotpy.core import keys
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.core.upload_state import Kept, UploadState
from zotpy.memory.accounts import Account
from zotpy.store.interface import Store


async def keep(store: Store, state: UploadState) -> UploadState:
    """Write a first chunk that is no longer than a part, but too long for a record, as data; return the state to save.

    Raises `StoreError`.
    """
    if state.parts or len(state.tail) <= INLINE_LIMIT_BYTES:
        return state
    data_id = keys.new_id()
    stored = await store.put(keys.data(data_id), state.tail)
    return replace(state, tail=Pieces(), kept=Kept(data_id, stored.store_time))


async def take_back(store: Store, account: Account, state: UploadState) -> UploadState:
    """Read kept bytes back, into memory of `account`, and return the state as if they had been left as a tail.

    Raises `KeyMissing` where the collector took them, `StoreError`.
    """
    if state.kept is None:
        return state
    await account.acquire(state.offset)
    tail = Pieces()
    try:
        async with store.open(keys.data(state.kept.data_id), 0, state.offset) as chunks:
            async for chunk in chunks:
                tail.append(chunk)
    except BaseException:
        tail.clear()
        raise
    return replace(state, tail=tail, kept=None)
