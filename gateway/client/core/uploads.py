"""What is sent: bytes, text, files and directories, so that each can be sent again."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .downloads import Progress
from .steps import Body

CHUNK_BYTES = 256 * 1024


def body_of(
    content: bytes | bytearray | memoryview | str | Path | BinaryIO,
    progress: Progress | None = None,
) -> Body:
    """Text is sent as UTF-8, a Path is a local file. An open file is sent from where it stands; one
    that cannot seek cannot be sent again after a break."""
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, Path):
        return _of_path(content, progress)
    if isinstance(content, bytes | bytearray | memoryview):
        data = bytes(content)
        return Body(lambda: _told(_of_bytes(data), len(data), progress), len(data))
    return _of_file(content, progress)


def _of_bytes(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def _of_path(path: Path, progress: Progress | None) -> Body:
    found = path.stat()
    # Pipes and devices do not say how much comes.
    size = found.st_size if stat.S_ISREG(found.st_mode) else None

    def chunks() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            left = size
            while left is None or left > 0:
                data = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                if not data:
                    break
                left = None if left is None else left - len(data)
                yield data

    return Body(lambda: _told(chunks(), size, progress), size)


def _of_file(file: BinaryIO, progress: Progress | None) -> Body:
    start = file.tell() if file.seekable() else None
    size = None
    if start is not None:
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)

    def chunks() -> Iterator[bytes]:
        if start is not None:
            file.seek(start)
        while data := file.read(CHUNK_BYTES):
            yield data

    return Body(lambda: _told(chunks(), size, progress), size, is_once=start is None)


def _told(chunks: Iterator[bytes], size: int | None, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for data in chunks:
        yield data
        done += len(data)
        if progress is not None:
            progress(done, size)


def archive_of(
    directory: Path, progress: Progress | None = None, *, keeps: Callable[[str], bool] | None = None
) -> Body:
    """A local directory as tar, made while it is sent: files, directories and links; sockets, FIFOs
    and devices are left out. `keeps` chooses by path below the directory. Raises OSError for what
    cannot be read. A file that becomes shorter meanwhile is filled up with zeros."""

    def chunks() -> Iterator[bytes]:
        with tarfile.TarFile(fileobj=io.BytesIO(), mode="w", format=tarfile.PAX_FORMAT) as maker:
            for path in _below(directory):
                name = path.relative_to(directory).as_posix()
                if keeps is None or keeps(name):
                    yield from _member(maker, path, name)
        yield bytes(2 * tarfile.BLOCKSIZE)

    return Body(lambda: _told(chunks(), None, progress), None, "application/x-tar")


def _below(directory: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted([*folders, *files]):
            yield Path(parent, name)


def _member(maker: tarfile.TarFile, path: Path, name: str) -> Iterator[bytes]:
    # typeshed does not say that it is None for a socket.
    info = cast("tarfile.TarInfo | None", maker.gettarinfo(str(path), name))
    if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        return
    if info.islnk():  # a second name of a file is sent as a file of its own
        info.type, info.size = tarfile.REGTYPE, path.stat().st_size
    head = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if not info.isreg():
        yield head
        return
    with path.open("rb", buffering=0) as file:
        yield head
        left = info.size
        while left > 0 and (data := file.read(min(CHUNK_BYTES, left))):
            left -= len(data)
            yield data
    yield bytes(left + -info.size % tarfile.BLOCKSIZE)
