"""Writing a layout: into a directory, where a second run writes only what is new, or into a tar."""

import json
import os
import secrets
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import trio

from zotpy.core.digests import Digest
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.media_types import OCI_INDEX
from zotpy.layouts.index import path_of

VERSION = b'{"imageLayoutVersion":"1.0.0"}'


class WrongContent(Exception):
    """Bytes that were to be written do not have their digest."""


class LayoutWriter(Protocol):
    """Takes the content of one layout. Every method raises `OSError`."""

    async def has(self, digest: Digest, length: int) -> bool:
        """Say whether content was written already."""
        ...

    async def write(self, digest: Digest, length: int, pieces: AsyncIterator[bytes]) -> None:
        """Write content. Raises `WrongContent`, and then nothing was written."""
        ...

    async def finish(self, manifests: Sequence[dict[str, Any]]) -> None:
        """Write the index, which makes the layout complete."""
        ...


def index_of(manifests: Sequence[dict[str, Any]]) -> bytes:
    """Return the index as it is written."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": list(manifests),
    }
    return json.dumps(document, separators=(",", ":")).encode()


class DirectoryWriter:
    """Writes into a directory. Each file gets its name when it is on the disk, and the index comes last."""

    def __init__(self, root: Path) -> None:
        """Write nothing yet."""
        self._root = root

    async def has(self, digest: Digest, length: int) -> bool:
        """See `LayoutWriter`."""
        return await trio.to_thread.run_sync(self._has, self._root / path_of(digest), length)

    def _has(self, file: Path, length: int) -> bool:
        try:
            return file.stat().st_size == length
        except FileNotFoundError:
            return False

    async def write(self, digest: Digest, length: int, pieces: AsyncIterator[bytes]) -> None:
        """See `LayoutWriter`."""
        async with _whole(self._root / path_of(digest)) as file:
            await copy(pieces, digest, length, file)

    async def finish(self, manifests: Sequence[dict[str, Any]]) -> None:
        """See `LayoutWriter`."""
        for name, content in (("oci-layout", VERSION), ("index.json", index_of(manifests))):
            async with _whole(self._root / name) as file:
                await trio.to_thread.run_sync(file.write, content)


@asynccontextmanager
async def _whole(path: Path) -> AsyncIterator[BinaryIO]:
    """Open a new file. It gets its name, and replaces the file of that name, when the block has written all of it."""
    hidden = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}")

    def begin() -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        return hidden.open("xb")

    def end(file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        hidden.replace(path)

    file = await trio.to_thread.run_sync(begin)
    try:
        with file:
            yield file
            await trio.to_thread.run_sync(end, file)
    except BaseException:
        with suppress(OSError):
            hidden.unlink()
        raise


class ArchiveWriter:
    """Writes an uncompressed tar. `open_archive` opens it."""

    def __init__(self, file: BinaryIO) -> None:
        """Write nothing yet."""
        self._file = file
        self._written: set[Digest] = set()
        self._lock = trio.Lock()

    async def has(self, digest: Digest, length: int) -> bool:
        """See `LayoutWriter`."""
        del length
        await trio.lowlevel.checkpoint()
        return digest in self._written

    async def write(self, digest: Digest, length: int, pieces: AsyncIterator[bytes]) -> None:
        """See `LayoutWriter`. One task writes at a time, as a tar grows only at its end."""
        async with self._lock:
            if digest in self._written:
                return
            start = self._file.tell()
            try:
                self._file.write(_head(path_of(digest), length))
                await copy(pieces, digest, length, self._file)
            except BaseException:
                self._file.seek(start)
                self._file.truncate()
                raise
            self._file.write(b"\0" * (-length % tarfile.BLOCKSIZE))
            self._written.add(digest)

    async def finish(self, manifests: Sequence[dict[str, Any]]) -> None:
        """See `LayoutWriter`."""
        async with self._lock:
            for name, content in (("oci-layout", VERSION), ("index.json", index_of(manifests))):
                self._file.write(_head(name, len(content)) + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE))
            self._file.write(b"\0" * 2 * tarfile.BLOCKSIZE)


@asynccontextmanager
async def open_archive(path: Path) -> AsyncIterator[ArchiveWriter]:
    """Open a tar that gets its name when it is complete. Raises `OSError`."""
    async with _whole(path) as file:
        yield ArchiveWriter(file)


def _head(name: str, length: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = length
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


async def copy(pieces: AsyncIterator[bytes], digest: Digest, length: int, file: BinaryIO) -> None:
    """Write the bytes, and compare them with their digest. Raises `WrongContent`, `OSError`."""
    hasher, written = new_hasher(digest.algorithm), 0
    async for piece in pieces:
        written += len(piece)
        if written > length:
            break
        await trio.to_thread.run_sync(_add, hasher, file, piece)
    if written != length or hasher.digest() != digest:
        msg = f"the bytes of {digest} are damaged in the store: zotpy fsck --read all says more"
        raise WrongContent(msg)


def _add(hasher: Hasher, file: BinaryIO, piece: bytes) -> None:
    hasher.update(piece)
    file.write(piece)
