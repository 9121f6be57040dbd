"""Keys that are not this registry's: they stop no collection, they are told, and nothing is deleted beside them."""

from __future__ import annotations

import pytest

from tests.unit.collector.support import GRACE_S, Bucket
from tests.unit.registry.support import OTHER, REPO
from zotpy.core import keys
from zotpy.core.digests import Digest

HEX = Digest.of(b"{}").hex


@pytest.mark.parametrize(
    ("key", "data_goes"),
    [
        ("leases/Not a name!/blobs/x", False),
        (f"leases/{OTHER}!/blobs/sha256/{HEX}/x", False),
        (f"leases/{OTHER}!/x", True),
        (f"entries/{OTHER}!/blobs/sha256/x", True),
        (f"tagged/{OTHER}!/x", True),
        (f"entries/{OTHER}!/blobs/sha256/{HEX}-copy", True),
        (f"referrers/{OTHER}!/sha256/x", True),
        ("repos/Not a name", True),
    ],
)
async def test_the_rest_is_collected(key: str, *, data_goes: bool) -> None:
    """Each key is told; data stays only where a lease that cannot be understood may name it."""
    bucket = await Bucket.open()
    await bucket.push_large(repo=REPO)
    for _ in range(8):
        await bucket.store.put(key, b"?")
        bucket.clock.advance(GRACE_S / 2)
        summary = await bucket.collect()
        told = key.partition("blobs/x")[0]  # such a directory is named once, not each key in it
        assert any(told in problem for problem in summary.problems), summary.problems
    assert bucket.store.objects[key].body == b"?"
    assert [key for key in bucket.left if key.startswith(keys.all_of(keys.ENTRIES, REPO))] == []
    assert (bucket.data == []) is data_goes
