"""Files of one sandbox."""

from __future__ import annotations

import builtins
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

import anyio.to_thread

from ..core import file_calls
from ..core.downloads import DownloadBegun, Progress, Sink, download, download_archive
from ..core.followed_events import watch_files
from ..core.local_files import replaced
from ..core.retrying import Retrying
from ..core.steps import Body, Call
from ..core.unpacking import unpack
from ..core.uploads import CHUNK_BYTES, archive_of, body_of
from ..error_codes import NotDirectory, PathNotFound
from ..models.files import FileEvent, FileStat
from .driver import AsyncDriver

P = ParamSpec("P")
T = TypeVar("T")

RemotePath = str | bytes


class AsyncFiles:
    """Files, as the sandbox's user sees them: paths are absolute, or from the home directory on."""

    def __init__(self, driver: AsyncDriver, sandbox_id: str) -> None:
        self._driver = driver
        self._id = sandbox_id

    # --- content ---------------------------------------------------------------------------------

    async def read(self, path: RemotePath, *, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of a file, or of a part of it. Raises PathNotFound, IsDirectory, …"""
        return b"".join([piece async for piece in self.stream(path, offset=offset, length=length)])

    async def read_text(self, path: RemotePath, encoding: str = "utf-8") -> str:
        """The same as text. Raises UnicodeDecodeError for what is none."""
        return (await self.read(path)).decode(encoding)

    async def stream(
        self, path: RemotePath, *, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The same in pieces, of a file of any size. Where the connection breaks it goes on there,
        and raises Changed when it is not the same file any more."""
        story = download(self._driver.retrying, self._id, path, offset, length)
        async with aclosing(self._driver.follow(story)) as told:
            async for piece in told:
                if isinstance(piece, bytes):
                    yield piece

    async def write(
        self,
        path: RemotePath,
        content: bytes | str | BinaryIO,
        *,
        mode: int | None = None,
        if_match: str | None = None,
        is_new: bool = False,
        progress: Progress | None = None,
    ) -> FileStat:
        """Write a whole file: readers see the old one or the new one. Missing directories are made.

        Text is written as UTF-8. `mode` is as in 0o755. With `if_match`, the `etag` of a `stat`,
        Changed is raised where another has written it since; with `is_new`, where it is there.
        """
        return await self._put(
            path, content, mode=mode, if_match=if_match, is_new=is_new, progress=progress
        )

    async def upload(
        self,
        local: str | Path,
        path: RemotePath,
        *,
        mode: int | None = None,
        progress: Progress | None = None,
    ) -> FileStat:
        """A local file. `progress` is called with the bytes that are sent, and how many there
        are."""
        return await self._put(path, Path(local), mode=mode, progress=progress)

    async def _put(
        self, path: RemotePath, content: Any, *, progress: Progress | None, **named: Any
    ) -> FileStat:
        body = body_of(content, progress)
        return await self._driver.call(
            file_calls.write(self._driver.retrying, self._id, path, body, **named)
        )

    async def download(
        self, path: RemotePath, local: str | Path, *, progress: Progress | None = None
    ) -> None:
        """Into a local file, which is replaced when all of it has come."""
        with replaced(Path(local)) as file:
            await self.download_to(path, file, progress=progress)

    async def download_to(
        self, path: RemotePath, file: Sink, *, progress: Progress | None = None
    ) -> None:
        """Into an open file."""
        story = download(self._driver.retrying, self._id, path)
        size, done = None, 0
        async with aclosing(self._driver.follow(story)) as told:
            async for piece in told:
                if isinstance(piece, DownloadBegun):
                    size = piece.size_bytes
                    continue
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, size)

    # --- directories -----------------------------------------------------------------------------

    async def upload_directory(
        self, local: str | Path, path: RemotePath, *, progress: Progress | None = None
    ) -> None:
        """What is in a local directory, into one that is made or merged with."""
        body = archive_of(Path(local), progress)
        await self.write_archive(path, body)

    async def write_archive(self, path: RemotePath, archive: BinaryIO | bytes | Body) -> None:
        """Unpack a tar or tar.gz into a directory."""
        body = archive if isinstance(archive, Body) else body_of(archive)
        await self._driver.call(
            file_calls.write_archive(self._driver.retrying, self._id, path, body)
        )

    async def read_archive(
        self, path: RemotePath, *, gzip: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """A directory as tar or tar.gz, in pieces."""
        story = download_archive(self._driver.retrying, self._id, path, gzip=gzip)
        async with aclosing(self._driver.follow(story)) as told:
            async for piece in told:
                if isinstance(piece, bytes):
                    yield piece

    async def download_directory(
        self, path: RemotePath, local: str | Path, *, progress: Progress | None = None
    ) -> None:
        """Into a local directory, which is made or merged with. Nothing is written outside it,
        whatever the sandbox sends. Raises tarfile.TarError."""
        with tempfile.TemporaryFile() as held:
            async with aclosing(self.read_archive(path)) as pieces:
                async for piece in pieces:
                    held.write(piece)
            held.seek(0)
            pieces_of_it = iter(lambda: held.read(CHUNK_BYTES), b"")
            await anyio.to_thread.run_sync(unpack, pieces_of_it, Path(local), progress)

    async def list(self, path: RemotePath = ".", *, depth: int = 1) -> builtins.list[FileStat]:
        """What is in a directory, sorted by path; with `depth` in those below it too."""
        return await self._call(file_calls.find_all, path, depth)

    async def stat(self, path: RemotePath) -> FileStat:
        """What is at a path; links are not followed. Raises PathNotFound."""
        return await self._call(file_calls.stat, path)

    async def exists(self, path: RemotePath) -> bool:
        """Whether anything is there."""
        try:
            await self.stat(path)
        except (PathNotFound, NotDirectory):
            return False
        return True

    async def make_directory(self, path: RemotePath, *, parents: bool = True) -> FileStat:
        """With `parents` missing ones above are made, and one that is there is no error."""
        return await self._call(file_calls.make_directory, path, parents=parents)

    async def move(
        self, source: RemotePath, target: RemotePath, *, overwrite: bool = False
    ) -> FileStat:
        """`target` is the new path itself."""
        return await self._call(file_calls.move, "move", source, target, overwrite=overwrite)

    async def copy(
        self, source: RemotePath, target: RemotePath, *, overwrite: bool = False
    ) -> FileStat:
        """A directory with all that is in it."""
        return await self._call(file_calls.move, "copy", source, target, overwrite=overwrite)

    async def delete(self, path: RemotePath, *, recursive: bool = False) -> None:
        """A directory that is not empty needs `recursive`."""
        await self._call(file_calls.delete, path, recursive=recursive)

    def watch(
        self, path: RemotePath = ".", *, recursive: bool = False
    ) -> AsyncGenerator[FileEvent, None]:
        """What happens to files from now on; the first event is `watching`, when it has begun.
        After `overflow` something may have been missed: list anew. Ends with the sandbox."""
        return self._driver.follow(
            watch_files(self._driver.retrying, self._id, path, recursive=recursive)
        )

    async def _call(
        self,
        call: Callable[Concatenate[Retrying, str, P], Call[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        return await self._driver.call(call(self._driver.retrying, self._id, *arguments, **named))
