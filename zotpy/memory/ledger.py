"""What all bodies hold of the memory budget, and whether more may be granted: sums and rules; nothing waits here.

Memory comes back when a part was sent, and a part is sent only when it is full. If half-filled parts held all the
memory, no part could be completed and none could be freed. So the ledger knows the length of the part that each body
fills. It grants memory only if all begun parts can still be finished afterwards, one after another (the banker's
algorithm). Each part then has what is free, and what those before it give back. A part is

- *usual* (at most `usual_bytes`): it gets memory as long as the whole rest of it fits beside the bytes that stay;
- *large* (of blobs of many GiB): what is left after each grant holds a usual part, so all usual ones finish whatever
  the large ones do. The large ones can be finished in some order with the memory of the usual ones.

*Bytes that stay* are those of parts that are being filled, and those lent for reading ahead. Full parts on their way to
the store free themselves.
"""

from zotpy.core.errors import Unavailable
from zotpy.memory.accounts import Account


class Ledger:
    """The sums over all accounts of one process, in bytes."""

    def __init__(self, total_bytes: int, usual_bytes: int) -> None:
        """Share out `total_bytes`. `usual_bytes` is the length of a usual part, and of one read beside it."""
        if total_bytes < 2 * usual_bytes:
            msg = f"a memory budget of {total_bytes} bytes is too small: {2 * usual_bytes} are needed"
            raise ValueError(msg)
        self.total_bytes = total_bytes
        self.usual_bytes = usual_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.draining_bytes = 0
        """How many of `used_bytes` are in full parts."""
        self.usual_filled_bytes = 0
        """How many of `used_bytes` are in usual parts that are being filled."""
        self.large: set[Account] = set()
        """The accounts with bytes in a large part that is being filled."""

    @property
    def free_bytes(self) -> int:
        """What no account holds."""
        return self.total_bytes - self.used_bytes

    @property
    def largest_part_bytes(self) -> int:
        """The length of the longest part: a usual one finds room beside it."""
        return self.total_bytes - self.usual_bytes

    def check_size(self, part_bytes: int) -> None:
        """Raise `Unavailable` if a part would wait for ever: a replica with a larger budget has planned it."""
        if part_bytes > self.largest_part_bytes:
            msg = (
                f"this upload has parts of {part_bytes} bytes, but this replica's memory holds no part above "
                f"{self.largest_part_bytes}: give all replicas the same upload.memoryBudget and upload.partSize"
            )
            raise Unavailable(msg)

    def is_large(self, account: Account) -> bool:
        """Whether the part that is being filled is longer than a usual one."""
        return account.part_bytes > self.usual_bytes

    def rank(self, account: Account) -> int:
        """Return the length below which parts pass larger ones. Usual ones do not pass each other."""
        return max(account.part_bytes, self.usual_bytes)

    def may_lend(self, size_bytes: int) -> bool:
        """Say whether bytes may be held beside all parts: they are free, and no part needs them to be finished."""
        if self.used_bytes + size_bytes > self.largest_part_bytes:
            return False
        return self.can_be_finished(self.large, size_bytes)

    def may_grant(self, account: Account, size_bytes: int) -> bool:
        """Say whether free bytes may go into the account's part: all begun parts can be finished after it."""
        if self.is_large(account):
            return self.can_be_finished({*self.large, account}, size_bytes, account)
        return account.rest_bytes(size_bytes) <= self.free_bytes + self.draining_bytes

    def can_be_finished(self, large: set[Account], size_bytes: int, taker: Account | None = None) -> bool:
        """Say whether all begun parts, these large ones among them, can be finished once `taker` has `size_bytes` more.

        The usual parts are finished first, for which one's length is enough, and leave their memory to the large ones.
        """
        # Full parts are as good as free: they are on their way to the store, and need no further byte. One usual part's
        # length is set aside: with it any number of usual parts can be finished, each after the one before.
        available = self.free_bytes + self.draining_bytes - size_bytes - self.usual_bytes
        if available < 0:
            return False
        # Now the usual parts are finished, and have given back what they held.
        available += self.usual_filled_bytes
        # What each large part still needs, and what it gives back when it is finished. The taker counts as if it had
        # the bytes already.
        parts = [(account.rest_bytes(0), account.filled_bytes) for account in large if account is not taker]
        if taker is not None:
            parts.append((taker.rest_bytes(size_bytes) - size_bytes, taker.filled_bytes + size_bytes))
        # The part that needs the least goes first. Finishing a part only adds to what is available. So if the smallest
        # need cannot be met now, no other order meets it.
        for rest, filled in sorted(parts):
            if rest > available:
                return False
            available += filled
        return True

    def hold(self, account: Account, size_bytes: int) -> None:
        """Count bytes as held, in no part."""
        account.held_bytes += size_bytes
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def grant(self, account: Account, size_bytes: int) -> None:
        """Count bytes as held, in the part that is being filled."""
        self.hold(account, size_bytes)
        self._fill(account, size_bytes)

    def release(self, account: Account, size_bytes: int) -> None:
        """Count bytes as free again: those of full parts first, then those of the part that is being filled."""
        drained = min(size_bytes, account.draining_bytes)
        account.draining_bytes -= drained
        self.draining_bytes -= drained
        account.held_bytes -= size_bytes
        self.used_bytes -= size_bytes
        dropped = account.filled_bytes - (account.held_bytes - account.draining_bytes)
        if dropped > 0:
            self._fill(account, -dropped)

    def part_is_full(self, account: Account) -> bool:
        """Count the bytes of the part that is being filled as freeing themselves; `False` if it has none."""
        if not account.filled_bytes:
            return False
        account.draining_bytes += account.filled_bytes
        self.draining_bytes += account.filled_bytes
        self._fill(account, -account.filled_bytes)
        return True

    def _fill(self, account: Account, change_bytes: int) -> None:
        """Keep count of what is in parts that are being filled."""
        account.filled_bytes += change_bytes
        if not self.is_large(account):
            self.usual_filled_bytes += change_bytes
        elif account.filled_bytes:
            self.large.add(account)
        else:
            self.large.discard(account)
