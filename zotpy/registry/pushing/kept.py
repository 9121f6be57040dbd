"""Kept bytes: a first chunk that may be all of a blob waits for its PUT in the object that would be the blob's data.

docker, podman, skopeo and crane send a blob as POST, one PATCH, and a PUT without a body. The PATCH could leave its
bytes in the upload's state, as it leaves a short tail. But then each byte of a blob shorter than a part would go to the
store twice and come back once. So the PATCH writes them as `data/<id>`, with an id that was never used before, and the
state names it. The PUT writes a lease that names it too, and no byte moves. If a client says where its chunk lies
(Content-Range), it means to send more of them. The next chunk then needs a tail, so the bytes are left in the state.
The same holds for a chunk that was cut.

No lease names kept bytes, so the collector treats them as garbage when they are old enough. This is why no lease is
ever written that names deleted bytes:

- A collection begins to delete data by listing all leases. It looks only at data that is older than the grace *when
  that listing begins* (`zotpy.collector.data_sweep`). A lease that was written while the bytes were younger than the
  grace exists by then, and the listing finds it; the lease itself stays for a grace. So a request may name bytes
  younger than the grace, whatever collections do, and however many requests name them at once or one after another.
- The state tells when kept bytes were written. A PUT names them only if it read the state before half the grace had
  passed. It then writes the lease within a deadline, a tenth of the grace at most, or gives up. The lease says by when
  it had to be written, by the store's clock (`zotpy.bucket.reliance`). A replica's own clock only spares it from
  writing a lease in vain. The rest of the grace is for stores whose hosts' clocks differ, and for leases that arrive
  after their request gave up.
- Older ones are read back, as a tail, and written anew, with a new id. If they do not exist any more, the client begins
  again.

Only the collector deletes kept bytes. A PUT with a wrong digest does not, nor one that finds an older copy, a DELETE of
the upload, or a chunk whose state was overtaken. Another request may have read the state before, and be about to write
the lease.
"""

from dataclasses import replace

from zotpy.core import keys
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.core.upload_state import KeptData, UploadState
from zotpy.memory.accounts import Account
from zotpy.store.interface import Store


async def keep(store: Store, state: UploadState) -> UploadState:
    """Write a first chunk that fits into one part, but not into a record, as data. Return the state to save.

    Raises `StoreError`.
    """
    if state.parts or len(state.tail) <= INLINE_LIMIT_BYTES:
        return state
    data_id = keys.new_id()
    stored = await store.put(keys.data(data_id), state.tail)
    return replace(state, tail=Pieces(), kept=KeptData(data_id, stored.store_time))


async def take_back(store: Store, account: Account, state: UploadState) -> UploadState:
    """Read kept bytes back, into memory of `account`, and return the state as if they had been left as a tail.

    Raises `KeyMissing` if the collector has deleted them, and `StoreError`.
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
