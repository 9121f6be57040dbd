"""The layout of the bucket has a version, so that replicas of two releases know whether they can work side by side.

`meta/layout` holds three things::

    {"layout": 3, "least": 2, "release": "0.7.0"}

- `layout`: the newest version of the layout in which anything was written.
- `least`: the oldest version that a release must know to read all of it rightly, and to write nothing that others
  misread. If it is missing, it is `layout`.
- `release`: the first release that knows `least`, in words for the operator.

A release that knows version N works on every bucket whose `least` is at most N. So a change that older releases may
ignore raises `layout` alone, and is rolled out beside them. A change that they would misread takes two releases:
the first one reads it and does not write it. The second one raises `least`, which the first one satisfies, and
everything older is refused: at its start, and while it runs (see `zotpy.bucket.health`). It writes the new form only
after the longest time that an old replica may take to notice, and that calls may take which the replica had begun:
`gcSettings.deadline` is longer than both.

Version 2: with a promise (`zotpy.bucket.promise`) it holds two more things, in seconds: `promised`, and `before`, which
replicas may still promise that have not noticed a change. Releases that know version 1 do not wait after a DELETE. So a
bucket with a promise needs version 2.

Version 3: the entries of small blobs are their own leases (`zotpy.bucket.own_leases`). Collectors that know version 2
would delete them. So new buckets are for releases that know version 3. On older ones this release writes leases, and a
later release will raise `least`.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from zotpy.core import keys
from zotpy.core.framing import FramingError, frame, unframe
from zotpy.store.interface import ConditionFailed, KeyMissing, Store, StoreRefused

KNOWN = 3
"""The newest version that this release reads and writes."""
OWN_LEASES = 3
"""From this `least` on, the entries of small blobs may be their own leases."""
LONGEST_PROMISE_S = 3600.0
WRITTEN = {"layout": 3, "least": 3, "release": "0.3.0"}
"""What this release writes on an empty bucket."""
OLDEST = {"layout": 1, "least": 1, "release": "0.1.0"}
"""What a bucket has that was first used by an older release, and promises nothing."""
_LONGEST_RELEASE = 50


class LayoutError(Exception):
    """The bucket has a layout that this release cannot work with; the message says what to run."""


class LayoutMoved(StoreRefused):
    """The same, found while the replica runs: nothing may be sent to the store any more."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What `meta/layout` says."""

    version: int
    least: int
    release: str = ""
    store_time: datetime | None = field(default=None, compare=False)
    """The store's time when it was read."""
    promised_s: float = 0.0
    """For how long replicas may answer from memory."""
    before_s: float = 0.0
    """The same before the latest change."""
    is_first: bool = False
    """The promise is as old as the records."""
    written: datetime | None = field(default=None, compare=False)
    etag: str = field(default="", compare=False)

    @staticmethod
    def parse(body: bytes) -> "Layout":
        """Read it. Raises `LayoutError`."""
        try:
            header, _ = unframe(body)
            version = _positive(header.get("layout"))
            least = _positive(header.get("least", version))
            promised_s, before_s = _seconds(header.get("promised", 0)), _seconds(header.get("before", 0))
        except (FramingError, ValueError) as error:
            msg = "the bucket's meta/layout is damaged: is the prefix that of a zotpy registry?"
            raise LayoutError(msg) from error
        release = header.get("release")
        is_named = isinstance(release, str) and release.isprintable() and len(release) <= _LONGEST_RELEASE
        is_first = header.get("first") is True
        named = str(release) if is_named else ""
        return Layout(version, least, named, promised_s=promised_s, before_s=before_s, is_first=is_first)

    @property
    def has_own_leases(self) -> bool:
        """Whether all releases that use the bucket know entries that are their own leases."""
        return self.least >= OWN_LEASES

    def check(self) -> None:
        """Raise `LayoutError` if this release must leave the bucket alone."""
        if self.least > KNOWN:
            run = f"zotpy {self.release} or newer" if self.release else "a newer release"
            msg = (
                f"the bucket has layout {self.version}, for releases that know layout {self.least} or newer;"
                f" this one knows {KNOWN}: run {run}"
            )
            raise LayoutError(msg)


def _positive(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(value)


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_PROMISE_S:
        return float(value)
    raise ValueError(value)


async def read_layout(store: Store) -> Layout:
    """Read the bucket's layout: one store call. Raises `LayoutError`, `KeyMissing` on an empty bucket."""
    fetched = await store.get(keys.LAYOUT)
    layout, etag = Layout.parse(fetched.body), fetched.etag
    return replace(layout, store_time=fetched.store_time, written=fetched.last_modified, etag=etag)


async def check_layout(store: Store) -> Layout:
    """Check the bucket's layout, or write ours on an empty bucket, and return it. Raises `LayoutError`.

    If two releases meet on an empty bucket, the first one decides if the store has conditions. Otherwise the other
    one's next check of the layout sees what was written last.
    """
    try:
        found = await read_layout(store)
    except KeyMissing:
        with suppress(ConditionFailed):
            await store.put(keys.LAYOUT, frame(WRITTEN), if_none_match=store.features.conditional_create)
        found = await read_layout(store)
    found.check()
    return found
