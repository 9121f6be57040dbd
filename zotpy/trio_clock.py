"""Trio's clock for what asks it at each request and each call to the store."""

from collections.abc import Callable

import trio


def clock_reader() -> Callable[[], float]:
    """Return a function that tells the same seconds as `trio.current_time`, in half the time. Call this inside trio."""
    return trio.lowlevel.current_clock().current_time
