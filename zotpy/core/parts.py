"""How long the parts of an upload are, so that a blob fits into the 10,000 parts that S3 accepts.

::

    what the first request tells        | parts 1 to k        | after part k
    ------------------------------------+---------------------+---------------------------------------
    the whole blob's length             | equal; k = 10,000   |
    (POST or PUT with a length)         | takes all of it     |
    the length of a first chunk         | equal; k takes all  | twice as long after each further 1,000
    (PATCH with a length)               | of it, >= 1,000     | parts, as far as memory allows
    nothing (a stream)                  | equal; k = 1,000    | the same

Equal parts are as long as `upload.partSize`, or the smallest whole number of MiB above it for which the length fits
(into half of the parts if more may follow). Some services (R2) accept no others. With parts of 8 MiB a stream keeps
them equal up to 7.8 GiB.

The length of part `n` follows from `n` and the plan. The upload's state has the plan, so any replica goes on alike. A
part is sent again from memory if the store failed, so no part is longer than the memory budget can hold.
"""

from dataclasses import dataclass

from zotpy.core.errors import BlobTooLarge
from zotpy.core.units import MIB

LARGEST_COUNT = 10_000
"""Parts of one multipart (S3, *Amazon S3 multipart upload limits*)."""
LARGEST_PART_BYTES = 5 * 1024 * MIB
"""From the same table; the minimum is 5 MiB, except for the last part."""
COUNT_BEFORE_GROWTH = 1_000
TAIL_LIMIT_BYTES = 16 * MIB
"""A longer rest at the end of a chunk is sent as a part of its own, although it is not full.

The reason is that the upload's state contains the tail, and is read and written whole.
"""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How long each part of one upload is: `equal_count` times `first_bytes`, then doubled up to `largest_bytes`."""

    first_bytes: int
    largest_bytes: int
    equal_count: int = LARGEST_COUNT

    def size_bytes(self, number: int) -> int:
        """Length of part `number`, counted from 1, when it is full."""
        doublings = max(0, -((self.equal_count - number) // COUNT_BEFORE_GROWTH))
        return max(self.first_bytes, min(self.first_bytes << doublings, self.largest_bytes))

    def check_room(self, sent_count: int, size_bytes: int) -> None:
        """Raise `BlobTooLarge` if `size_bytes` do not fit into the parts after the first `sent_count`."""
        if size_bytes <= (LARGEST_COUNT - sent_count) * self.first_bytes:
            return
        room = sum(self.size_bytes(number) for number in range(sent_count + 1, LARGEST_COUNT + 1))
        if size_bytes > room:
            raise _too_large(size_bytes, LARGEST_COUNT - sent_count, self.largest_bytes)

    def check_number(self, number: int) -> None:
        """Raise `BlobTooLarge` if no part may have this number."""
        if number > LARGEST_COUNT:
            msg = f"this upload already has {LARGEST_COUNT} parts, and S3 accepts no more: {_ADVICE}"
            raise BlobTooLarge(msg)


_ADVICE = "send the length with the first request, or let the operator raise upload.memoryBudget or upload.partSize"


def equal_parts(part_bytes: int) -> PartPlan:
    """Return the plan of parts that are all alike."""
    return PartPlan(part_bytes, part_bytes)


def plan_whole(length_bytes: int | None, part_bytes: int, largest_bytes: int) -> PartPlan:
    """Return the plan for a body that is the whole blob. Raises `BlobTooLarge` if it cannot fit."""
    if length_bytes is None:
        return plan_chunks(None, part_bytes, largest_bytes)
    plan = equal_parts(min(_fitting(length_bytes, LARGEST_COUNT, part_bytes), largest_bytes))
    plan.check_room(0, length_bytes)
    return plan


def plan_chunks(length_bytes: int | None, part_bytes: int, largest_bytes: int) -> PartPlan:
    """Return the plan for an upload that begins with a chunk, whose length may be known.

    Raises `BlobTooLarge` if not even that chunk can fit.
    """
    length = length_bytes or 0
    first = min(_fitting(length, LARGEST_COUNT // 2, part_bytes), largest_bytes)
    plan = PartPlan(first, largest_bytes, max(COUNT_BEFORE_GROWTH, -(-length // first)))
    plan.check_room(0, length)
    return plan


def largest_blob_bytes(largest_part_bytes: int) -> int:
    """Return how long a blob of known length may be, if no part may be longer than `largest_part_bytes`."""
    return LARGEST_COUNT * min(largest_part_bytes, LARGEST_PART_BYTES)


def _fitting(length_bytes: int, count: int, part_bytes: int) -> int:
    """Return `part_bytes`, or the smallest multiple of 1 MiB of which `count` hold the length."""
    if length_bytes <= count * part_bytes:
        return part_bytes
    return -(-length_bytes // (count * MIB)) * MIB


def _too_large(size_bytes: int, count: int, largest_bytes: int) -> BlobTooLarge:
    msg = f"{size_bytes} bytes do not fit into {count} parts of at most {largest_bytes} bytes: {_ADVICE}"
    return BlobTooLarge(msg, detail={"size": size_bytes})
