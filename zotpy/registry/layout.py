"""The layout of the bucket has a version, so that replicas of two releases know whether they can work side by side."""

from zotpy.core import keys
from zotpy.core.framing import FramingError, frame, unframe
from zotpy.store.interface import KeyMissing, Store

LAYOUT_VERSION = 1


class LayoutError(Exception):
    """The bucket has a layout that this release cannot work with."""


async def check_layout(store: Store) -> None:
    """Read the bucket's layout version, or write it on an empty bucket. Raises `LayoutError`."""
    try:
        header, _ = unframe((await store.get(keys.LAYOUT)).body)
    except KeyMissing:
        await store.put(keys.LAYOUT, frame({"layout": LAYOUT_VERSION}))
        return
    except FramingError as error:
        msg = "the bucket's meta/layout is damaged: is the prefix that of a zotpy registry?"
        raise LayoutError(msg) from error
    if header.get("layout") != LAYOUT_VERSION:
        msg = (
            f"the bucket has layout {header.get('layout')}, this release works with layout {LAYOUT_VERSION}: "
            "run a release that knows both"
        )
        raise LayoutError(msg)
