"""The files of a layout: those of a directory, or those of an uncompressed tar."""

import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from zotpy.core.units import KIB
from zotpy.upstream import BlobStream, NotAtUpstream, PieceIterator, UpstreamBroken

T = TypeVar("T")
PIECE_BYTES = 256 * KIB
MOST_MEMBERS = 200_000
"""How many files one tar may have."""
LONGEST_HEAD_BYTES = 1024 * KIB
"""How long the head of a member of a tar may be. It holds the member's name, for example."""


class Files(Protocol):
    """Files that are read by their paths, with slashes. Every method raises `zotpy.upstream.UpstreamError`."""

    async def read(self, path: str, most_bytes: int) -> bytes:
        """Return a file's content. Raises `NotAtUpstream`."""
        ...

    def open(self, path: str) -> AbstractAsyncContextManager[BlobStream]:
        """Read a file piece by piece. Raises `NotAtUpstream`."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file's bytes are."""

    file: Path
    start: int
    length: int


class _Found:
    """Files that are parts of files of this machine."""

    def __init__(self, find: Callable[[str], _Place]) -> None:
        """`find` is called in a thread with a path. It raises `NotAtUpstream`, `OSError`."""
        self._find = find

    async def read(self, path: str, most_bytes: int) -> bytes:
        """See `Files`."""
        return await _in_thread(path, partial(self._read, path, most_bytes))

    def _read(self, path: str, most_bytes: int) -> bytes:
        place = self._find(path)
        if place.length > most_bytes:
            msg = f"{path} is longer than {most_bytes} bytes"
            raise UpstreamBroken(msg)
        with place.file.open("rb") as file:
            file.seek(place.start)
            return file.read(place.length)

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[BlobStream]:
        """See `Files`."""
        place = await _in_thread(path, partial(self._find, path))
        descriptor = await _in_thread(path, partial(os.open, place.file, os.O_RDONLY | os.O_CLOEXEC))
        try:
            yield _Stream(descriptor, place, path)
        finally:
            os.close(descriptor)


class _Stream(PieceIterator):
    """See `zotpy.upstream.BlobStream`."""

    def __init__(self, descriptor: int, place: _Place, path: str) -> None:
        super().__init__(place.length)
        self._descriptor = descriptor
        self._position, self._end = place.start, place.start + place.length
        self._path = path

    async def __anext__(self) -> bytes:
        if self._position >= self._end:
            raise StopAsyncIteration
        length = min(PIECE_BYTES, self._end - self._position)
        piece = await _in_thread(self._path, partial(os.pread, self._descriptor, length, self._position))
        if not piece:
            msg = f"{self._path} became shorter while it was read"
            raise UpstreamBroken(msg)
        self._position += len(piece)
        return piece


def directory_files(root: Path) -> Files:
    """Return the files below a directory."""

    def find(path: str) -> _Place:
        file = root / path
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            msg = f"{file} is not a file"
            raise NotAtUpstream(msg)
        return _Place(file, 0, found.st_size)

    return _Found(find)


async def archive_files(archive: Path) -> Files:
    """Look through a tar, and return the files in it. Raises `UpstreamBroken`, `NotAtUpstream`."""
    members = await _in_thread(str(archive), partial(_members, archive))

    def find(path: str) -> _Place:
        place = members.get(path)
        if place is None:
            msg = f"{archive} has no {path}"
            raise NotAtUpstream(msg)
        return place

    return _Found(find)


class _Heads(io.FileIO):
    """A tar of which tarfile reads only the heads of members."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as much as tarfile asks for. Raises `tarfile.ReadError` if that is more than a head may have."""
        if size is None or not 0 <= size <= LONGEST_HEAD_BYTES:
            msg = "the head of a file is too long"
            raise tarfile.ReadError(msg)
        return super().read(size) or b""


def _members(archive: Path) -> Mapping[str, _Place]:
    """Find where the tar has the bytes of each file. Links are left out: no layout needs them."""
    found: dict[str, _Place] = {}
    try:
        with _Heads(archive) as heads, tarfile.open(fileobj=heads, mode="r:") as tar:
            for number, member in enumerate(tar):
                if number == MOST_MEMBERS:
                    msg = f"{archive} has more than {MOST_MEMBERS} files"
                    raise UpstreamBroken(msg)
                if member.size < 0:
                    msg = "a file has a negative length"
                    raise tarfile.ReadError(msg)
                if member.isreg() and not member.issparse():
                    name = member.name.removeprefix("./")
                    found[name] = _Place(archive, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        msg = f"{archive} is not an uncompressed tar: {error}"
        raise UpstreamBroken(msg) from error
    return found


async def _in_thread(path: str, call: Callable[[], T]) -> T:
    """Call in a thread, and turn errors of the system into errors of an upstream."""
    try:
        return await trio.to_thread.run_sync(call)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{error.filename or path} does not exist"
        raise NotAtUpstream(msg) from error
    except OSError as error:
        msg = f"{error.filename or path} cannot be read: {error.strerror}"
        raise UpstreamBroken(msg) from error
