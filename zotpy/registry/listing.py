"""What pages of all lists need: listings of the store that end, and memory for the page.

The budget holds what a page takes in memory from the first listing until the answer was sent.
"""

from zotpy.core.units import KIB
from zotpy.memory.accounts import Account
from zotpy.store.interface import Listed, Store, StoreUnavailable

STORE_PAGE = 1000
"""How many objects one listing of the store has at most."""
UNCOUNTED_BYTES = 64 * KIB
"""A page that takes less is not counted in the budget."""


async def list_after(store: Store, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
    """List objects below a prefix after one name, and say whether more follow. Raises `StoreUnavailable`.

    Some stores repeat the name, or begin anew each time. Here no object comes twice, and the loop ends: if a listing
    brings nothing new although more should follow, the rest cannot be reached.
    """
    start_after = prefix + after if after else ""
    for size in dict.fromkeys((limit, STORE_PAGE)):  # a store that repeats the name then has room for others
        listing = await store.list(prefix, start_after=start_after, limit=size)
        found = [listed for listed in listing.objects if listed.key > start_after]
        if found or not listing.truncated:
            return found, listing.truncated
    msg = f"the store says that more objects follow {start_after or prefix!r}, but does not list them"
    raise StoreUnavailable(msg)


async def hold(account: Account | None, size_bytes: int) -> None:
    """Count what a page takes in memory, unless it is little. Raises `TooManyRequests`."""
    if account is not None and size_bytes > UNCOUNTED_BYTES:
        await account.hold(size_bytes)
