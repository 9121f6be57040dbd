"""Tokens of uploads: a replica takes back those that it has signed, remembered or not, each for its upload alone."""

from __future__ import annotations

import pytest

from zotpy.bucket.keyring import REMEMBERED, Keyring
from zotpy.core import keys
from zotpy.core.errors import UploadUnknown
from zotpy.core.upload_tokens import UploadToken
from zotpy.store.memory_store import MemoryStore

REPO = "team/app"


@pytest.mark.parametrize("others", [0, REMEMBERED], ids=["remembered", "forgotten"])
async def test_a_token_is_good_for_its_own_upload_alone(others: int) -> None:
    """Neither for another repository, upload or owner, nor if it was changed; and at every replica the same."""
    store = MemoryStore()
    ours, other = await Keyring.load(store), await Keyring.load(store)
    token = UploadToken(REPO, keys.new_id(), "sha256", 17, "alice")
    text = ours.sign(token)
    for number in range(others):
        ours.sign(UploadToken(REPO, keys.new_id(), "sha256", number))
    for ring in (ours, other):
        assert await ring.verify(text, REPO, token.upload_id, "alice") == token
        for wrong in (
            (text, "team/other", token.upload_id, "alice"),
            (text, REPO, keys.new_id(), "alice"),
            (text, REPO, token.upload_id, "bob"),
            (text, REPO, token.upload_id, ""),
            (text[:-2] + "AA", REPO, token.upload_id, "alice"),
        ):
            with pytest.raises(UploadUnknown):
                await ring.verify(*wrong)


async def test_a_replica_remembers_so_many_tokens() -> None:
    """The oldest are forgotten first."""
    ring = await Keyring.load(MemoryStore())
    for number in range(2 * REMEMBERED):
        ring.sign(UploadToken(REPO, keys.new_id(), "sha256", number))
    assert [token.offset for token in ring.remembered] == list(range(REMEMBERED, 2 * REMEMBERED))
