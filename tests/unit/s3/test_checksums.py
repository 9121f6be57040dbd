"""The checksum of a body is computed on the spot, unless that would hold up the event loop."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import crc32c
import pytest
import trio

from zotpy.core.pieces import Pieces
from zotpy.core.units import MIB
from zotpy.s3.checksums import CRC32C_HEADER, MD5_HEADER, checksum_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("header", "size_bytes", "threads"),
    [
        (CRC32C_HEADER, 8 * MIB, 0),
        (CRC32C_HEADER, 16 * MIB + 1, 1),
        (CRC32C_HEADER, 40 * MIB, 1),
        (MD5_HEADER, MIB, 0),
        (MD5_HEADER, MIB + 1, 1),
    ],
)
@pytest.mark.parametrize("is_summed", [False, True])
async def test_a_thread_computes_only_what_takes_long(
    header: str, size_bytes: int, threads: int, *, is_summed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To hand a part of 8 MiB to a thread costs more than its CRC. What is part of the CRC already costs nothing."""
    started: list[object] = []
    run_sync = trio.to_thread.run_sync

    async def counted(compute: Callable[..., Any], *arguments: Any) -> Any:
        started.append(compute)
        return await run_sync(compute, *arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", counted)
    body = Pieces(bytes(size_bytes // 2))
    body.append(bytes(size_bytes - size_bytes // 2))
    if is_summed:
        body.crc32c()
        threads = 0 if header == CRC32C_HEADER else threads
    value = base64.b64decode(await checksum_of(body, header))
    assert len(started) == threads
    if header == MD5_HEADER:
        assert value == hashlib.md5(bytes(size_bytes), usedforsecurity=False).digest()
    else:
        assert value == crc32c.crc32c(bytes(size_bytes)).to_bytes(4, "big")
