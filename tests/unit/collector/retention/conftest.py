"""What most tests of retention begin with."""

from __future__ import annotations

import pytest

from tests.unit.collector.retention.support import DELAY_S, Kept
from tests.unit.registry.support import REPO
from tests.unit.registry.test_manifests import V1


@pytest.fixture
async def kept() -> Kept:
    """Return a bucket in which a manifest is to go: it is old, and no tag names it."""
    made = await Kept.open()
    await made.bucket.push_image(tag="v1")
    await made.bucket.registry.manifests.delete_tag(REPO, V1)
    made.bucket.clock.advance(DELAY_S + 1)
    return made
