"""How often Python looks for garbage: for objects that only refer to each other. It finds all other garbage at once.

It looks through all there is, now and then while objects are made, and once more at the end. A start makes hundreds of
thousands of objects, nearly all of them modules, classes and functions, which stay. Looking at them took a quarter of
the CPU time of a short command.
"""

import gc

_NEW_AT_START, _NEW_AT_WORK = 100_000, 5_000
"""After this many more containers Python looks for garbage among them; by default after 700, or 2,000."""


def collect_late() -> None:
    """Look for garbage late: what is done next is to import."""
    gc.set_threshold(_NEW_AT_START, *gc.get_threshold()[1:])


def collect_less() -> None:
    """Leave permanent objects alone, such as modules and routes, and look less often than Python does by default.

    A request makes few cycles. Looking for them took a tenth of the CPU time of a small push.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # a full collection waits for a quarter of what the last one has left
    gc.set_threshold(_NEW_AT_WORK, *gc.get_threshold()[1:])


def collect_no_more() -> None:
    """Leave everything alone that exists now: this process ends, and Python would look through it first."""
    gc.freeze()
