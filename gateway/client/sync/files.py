"""Files of one sandbox."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from ..core import file_calls
from ..core.downloads import DownloadBegun, Progress, Sink, download, download_archive
from ..core.followed_events import watch_files
from ..core.local_files import replaced
from ..core.retrying import Retrying
from ..core.steps import Body, Call
from ..core.unpacking import unpack
from ..core.uploads import archive_of, body_of
from ..error_codes import NotDirectory, PathNotFound
from ..models.files import FileEvent, FileStat
from .driver import Driver

P = ParamSpec("P")
T = TypeVar("T")

RemotePath = str | bytes


class Files:
    """Files, as the sandbox's user sees them: paths are absolute, or from the home directory on."""

    def __init__(self, driver: Driver, sandbox_id: str) -> None:
        self._driver = driver
        self._id = sandbox_id

    # --- content ---------------------------------------------------------------------------------

    def read(self, path: RemotePath, *, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of a file, or of a part of it. Raises PathNotFound, IsDirectory, …"""
        return b"".join(self.stream(path, offset=offset, length=length))

    def read_text(self, path: RemotePath, encoding: str = "utf-8") -> str:
        """The same as text. Raises UnicodeDecodeError for what is none."""
        return self.read(path).decode(encoding)

    def stream(
        self, path: RemotePath, *, offset: int = 0, length: int | None = None
    ) -> Generator[bytes, None, None]:
        """The same in pieces, of a file of any size. Where the connection breaks it goes on there,
        and raises Changed when it is not the same file any more."""
        story = download(self._driver.retrying, self._id, path, offset, length)
        with closing(self._driver.follow(story)) as told:
            for piece in told:
                if isinstance(piece, bytes):
                    yield piece

    def write(
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
        return self._put(
            path, content, mode=mode, if_match=if_match, is_new=is_new, progress=progress
        )

    def upload(
        self,
        local: str | Path,
        path: RemotePath,
        *,
        mode: int | None = None,
        progress: Progress | None = None,
    ) -> FileStat:
        """A local file. `progress` is called with the bytes that are sent, and how many there
        are."""
        return self._put(path, Path(local), mode=mode, progress=progress)

    def _put(
        self, path: RemotePath, content: Any, *, progress: Progress | None, **named: Any
    ) -> FileStat:
        body = body_of(content, progress)
        return self._driver.call(
            file_calls.write(self._driver.retrying, self._id, path, body, **named)
        )

    def download(
        self, path: RemotePath, local: str | Path, *, progress: Progress | None = None
    ) -> None:
        """Into a local file, which is replaced when all of it has come."""
        with replaced(Path(local)) as file:
            self.download_to(path, file, progress=progress)

    def download_to(
        self, path: RemotePath, file: Sink, *, progress: Progress | None = None
    ) -> None:
        """Into an open file."""
        story = download(self._driver.retrying, self._id, path)
        size, done = None, 0
        with closing(self._driver.follow(story)) as told:
            for piece in told:
                if isinstance(piece, DownloadBegun):
                    size = piece.size_bytes
                    continue
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, size)

    # --- directories -----------------------------------------------------------------------------

    def upload_directory(
        self, local: str | Path, path: RemotePath, *, progress: Progress | None = None
    ) -> None:
        """What is in a local directory, into one that is made or merged with."""
        body = archive_of(Path(local), progress)
        self.write_archive(path, body)

    def write_archive(self, path: RemotePath, archive: BinaryIO | bytes | Body) -> None:
        """Unpack a tar or tar.gz into a directory."""
        body = archive if isinstance(archive, Body) else body_of(archive)
        self._driver.call(file_calls.write_archive(self._driver.retrying, self._id, path, body))

    def read_archive(self, path: RemotePath, *, gzip: bool = False) -> Generator[bytes, None, None]:
        """A directory as tar or tar.gz, in pieces."""
        story = download_archive(self._driver.retrying, self._id, path, gzip=gzip)
        with closing(self._driver.follow(story)) as told:
            for piece in told:
                if isinstance(piece, bytes):
                    yield piece

    def download_directory(
        self, path: RemotePath, local: str | Path, *, progress: Progress | None = None
    ) -> None:
        """Into a local directory, which is made or merged with. Nothing is written outside it,
        whatever the sandbox sends. Raises tarfile.TarError."""
        with closing(self.read_archive(path)) as pieces:
            unpack(pieces, Path(local), progress)

    def list(self, path: RemotePath = ".", *, depth: int = 1) -> builtins.list[FileStat]:
        """What is in a directory, sorted by path; with `depth` in those below it too."""
        return self._call(file_calls.find_all, path, depth)

    def stat(self, path: RemotePath) -> FileStat:
        """What is at a path; links are not followed. Raises PathNotFound."""
        return self._call(file_calls.stat, path)

    def exists(self, path: RemotePath) -> bool:
        """Whether anything is there."""
        try:
            self.stat(path)
        except (PathNotFound, NotDirectory):
            return False
        return True

    def make_directory(self, path: RemotePath, *, parents: bool = True) -> FileStat:
        """With `parents` missing ones above are made, and one that is there is no error."""
        return self._call(file_calls.make_directory, path, parents=parents)

    def move(self, source: RemotePath, target: RemotePath, *, overwrite: bool = False) -> FileStat:
        """`target` is the new path itself."""
        return self._call(file_calls.move, "move", source, target, overwrite=overwrite)

    def copy(self, source: RemotePath, target: RemotePath, *, overwrite: bool = False) -> FileStat:
        """A directory with all that is in it."""
        return self._call(file_calls.move, "copy", source, target, overwrite=overwrite)

    def delete(self, path: RemotePath, *, recursive: bool = False) -> None:
        """A directory that is not empty needs `recursive`."""
        self._call(file_calls.delete, path, recursive=recursive)

    def watch(
        self, path: RemotePath = ".", *, recursive: bool = False
    ) -> Generator[FileEvent, None, None]:
        """What happens to files from now on; the first event is `watching`, when it has begun.
        After `overflow` something may have been missed: list anew. Ends with the sandbox."""
        return self._driver.follow(
            watch_files(self._driver.retrying, self._id, path, recursive=recursive)
        )

    def _call(
        self,
        call: Callable[Concatenate[Retrying, str, P], Call[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        return self._driver.call(call(self._driver.retrying, self._id, *arguments, **named))
