"""Deleting many objects if a store has no call that deletes more than one."""

from collections.abc import Awaitable, Callable, Iterable

import trio

AT_ONCE = 8
"""Single deletions that are under way together."""


async def delete_each(delete: Callable[[str], Awaitable[None]], keys: Iterable[str]) -> None:
    """Delete objects one by one, a few at a time. After an error it begins no other, and raises the first error."""
    left = iter(keys)
    errors: list[Exception] = []

    async def work() -> None:
        for key in left:
            try:
                await delete(key)
            except Exception as error:  # noqa: BLE001 - raised below, without the group that a nursery makes of it
                errors.append(error)
            if errors:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
    if errors:
        raise errors[0]
