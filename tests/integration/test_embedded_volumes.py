"""Volumes of a real SeaweedFS whose index lags behind, as after a power cut, are mended at the next start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_embedded import MORE, OBJECTS, read, write
from zotpy.embedded import embedded_store
from zotpy.embedded.volumes import mend_volumes, need_mending
from zotpy.s3.client import Request, open_client

if TYPE_CHECKING:
    from pathlib import Path

ENTRY_BYTES = 17
DELETED = "data/deleted"


async def filled(root: Path) -> dict[Path, bytes]:
    """Write and delete objects, end the store, and return the index of each volume."""
    async with embedded_store(root) as store:
        await write(store, {**OBJECTS, DELETED: b"to be deleted"})
        async with open_client(store.config()) as client:
            await client.call(Request("DeleteObject", "DELETE", DELETED))
    return {index: index.read_bytes() for index in sorted((root / "data").glob("*.idx"))}


async def test_what_the_index_lost_is_found_in_the_volume(tmp_path: Path) -> None:
    """Without its index at all, or with a torn one, a volume gets the very index back that SeaweedFS had written."""
    indexes = await filled(tmp_path)
    for lost in (1, ENTRY_BYTES, ENTRY_BYTES + 3, None):
        for index, whole in indexes.items():
            index.write_bytes(b"" if lost is None else whole[:-lost])
        assert need_mending(tmp_path / "data", 5)
        mend_volumes(tmp_path / "data", 5)
        assert {index: index.read_bytes() for index in indexes} == indexes
        assert not need_mending(tmp_path / "data", 5)


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, os.urandom(100), b"\0" * 15 + b"\1" + b"\0" * 20], ids=["zeros", "random", "almost zeros"]
)
async def test_a_torn_tail_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    """What was being written goes: zeros, noise, a needle cut short. What was written stays."""
    indexes = await filled(tmp_path)
    lengths = {}
    for index in indexes:
        volume = index.with_suffix(".dat")
        lengths[volume] = volume.stat().st_size
        with volume.open("ab") as file:
            file.write(tail)
    mend_volumes(tmp_path / "data", 5)
    assert {index: index.read_bytes() for index in indexes} == indexes
    assert {volume: volume.stat().st_size for volume in lengths} == lengths


async def test_a_store_starts_on_torn_volumes_and_takes_writes(tmp_path: Path) -> None:
    """A start mends by itself: everything is read, and every volume takes writes again."""
    indexes = await filled(tmp_path)
    for index in indexes:
        index.write_bytes(b"")
        with index.with_suffix(".dat").open("ab") as file:
            file.write(os.urandom(1000))
    async with embedded_store(tmp_path) as store:
        assert await read(store, OBJECTS) == OBJECTS
        await write(store, MORE)
        assert await read(store, MORE) == MORE
    assert "volumeDataIntegrityChecking failed" not in (tmp_path / "weed.log").read_text()
