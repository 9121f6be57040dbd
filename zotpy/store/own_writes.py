"""Conditional writes that were repeated: an earlier attempt, whose answer was lost, may have broken the condition."""

from zotpy.store.interface import Body, ConditionFailed, KeyMissing, Store, Stored, StoreError


async def own_write(store: Store, key: str, body: Body, error: StoreError) -> Stored:
    """Return what an earlier attempt of a conditional write returned, if it wrote `body`; otherwise raise `error`.

    The object tells: either it holds this very body, or another request wrote it.
    """
    if not isinstance(error, ConditionFailed):
        raise error
    try:
        fetched = await store.get(key)
    except KeyMissing as gone:
        raise error from gone
    if fetched.body != bytes(body):
        raise error
    return Stored(fetched.etag, fetched.store_time)
