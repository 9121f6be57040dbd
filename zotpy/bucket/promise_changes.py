"""How the promise of a bucket changes (`zotpy.bucket.promise`): begun, made longer or shorter, or ended.

`meta/layout` has it. Every replica reads that every five seconds. After a minute without a reading it sends nothing to
the store, and passes no answer on that the store gave later. So a change is *settled* after a deadline, and after two
minutes at least:

- A replica promises only what is settled. By then every DELETE waits for it.
- Until then a DELETE waits for the longer of the two values. After that no replica promises the earlier one any more: a
  reading of the layout holds for `KNOWN_S`.
- Releases that do not wait at all are refused by `least`, in the same way and the same time.
- In a bucket without records nothing can be deleted, and the promise holds at once.

An operator may want to go back to an older release. When it is settled that nothing is promised, the next start of a
replica lowers `least` again.

If somebody deletes `meta/layout`, replicas promise nothing from their next look on.
"""

import structlog

from zotpy.bucket.layout import OLDEST, WRITTEN, Layout, check_layout, read_layout
from zotpy.bucket.promise import Promise, boot_s
from zotpy.core import keys
from zotpy.core.errors import TryAgain
from zotpy.core.framing import frame
from zotpy.store.interface import ConditionFailed, KeyMissing, Store

PROMISING = 2
"""The version of the layout that a release must know beside a promise."""
RELEASE = "0.3.0"
"""The first release that does."""
KNOWN_S = 30.0
"""For how long a replica may promise what it has read in the layout."""
SETTLED_S = 120.0
"""A change is never settled before this."""
ATTEMPTS = 8

log = structlog.get_logger()


def note(promise: Promise, layout: Layout, began_s: float, deadline_s: float) -> None:
    """Take over what was read of the layout; `began_s` is the moment before the reading, by `boot_s`."""
    is_settled = _is_settled(layout, deadline_s)
    promise.wait_s = layout.promised_s if is_settled else max(layout.promised_s, layout.before_s)
    promise.life_s = layout.promised_s if is_settled else 0.0
    promise.known_until_s = began_s + KNOWN_S


async def agree(store: Store, promise: Promise, life_s: float, deadline_s: float) -> None:
    """Let the bucket promise `life_s` seconds, as this replica is configured, and take note of what holds.

    Raises `LayoutError`, `StoreError`, `TryAgain`.
    """
    if life_s and not store.features.all_conditions:
        log.warning("nothing_promised", reason="storage.promisedLife needs a store with conditional writes")
        life_s = 0.0
    for _ in range(ATTEMPTS):
        began_s = boot_s()
        found = await _read(store)
        header = _changed(found, life_s, deadline_s) if found is not None else await _first(store, life_s)
        if header is None and found is not None:
            note(promise, found, began_s, deadline_s)
            return
        if header is None:
            await check_layout(store)  # ours, or one that another replica has just written: it may promise something
            continue
        try:
            etag = None if found is None else found.etag
            await store.put(keys.LAYOUT, frame(header), if_none_match=etag is None, if_match=etag)
        except (ConditionFailed, KeyMissing):
            continue  # another replica was first
    msg = "other replicas keep changing meta/layout: give all of them the same storage.promisedLife"
    raise TryAgain(msg)


async def _read(store: Store) -> Layout | None:
    try:
        found = await read_layout(store)
    except KeyMissing:
        return None
    found.check()
    return found


async def _first(store: Store, life_s: float) -> dict[str, object] | None:
    """Return what to write where no layout exists; `None`: what `check_layout` does."""
    if not life_s:
        return None
    is_empty = not any([(await store.list(prefix, limit=1)).objects for prefix in (keys.ENTRIES, keys.LEASES)])
    return WRITTEN | {"promised": life_s} | ({"first": True} if is_empty else {"before": life_s})


def _changed(found: Layout, life_s: float, deadline_s: float) -> dict[str, object] | None:
    """Return what to write; `None`: nothing."""
    is_settled = _is_settled(found, deadline_s)
    if life_s == found.promised_s:
        is_over = not life_s and is_settled and found.version == found.least == PROMISING
        return dict(OLDEST) if is_over else None
    return {
        "layout": max(found.version, PROMISING),
        "least": max(found.least, PROMISING),
        "release": RELEASE if found.least <= PROMISING else found.release,
        "promised": life_s,
        "before": found.promised_s if is_settled else max(found.promised_s, found.before_s),
    }


def _is_settled(layout: Layout, deadline_s: float) -> bool:
    """Say whether every replica has noticed what was written last."""
    if layout.is_first or layout.store_time is None or layout.written is None:
        return layout.is_first
    age_s = (layout.store_time - layout.written).total_seconds()
    return age_s > max(deadline_s, SETTLED_S) + 1  # stores tell the time to the second
