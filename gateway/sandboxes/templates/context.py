"""The context of a build: a tar archive in a file without a name, with its Dockerfile marked."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

import gevent

from gateway.errors import BadTemplate, GatewayError, TooLarge
from gateway.sandboxes.templates import dockerfile
from gateway.sandboxes.templates.dockerfile import Dockerfile

NAME = "Dockerfile"

T = TypeVar("T")


def received(pieces: Iterable[bytes], directory: Path, most_bytes: int) -> IO[bytes]:
    """All of them, in a file that ends when it is closed, whoever is killed. Raises TooLarge."""
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - the caller closes it
    try:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > most_bytes:
                raise TooLarge(f"a context may have {most_bytes} bytes")
            _in_thread(partial(file.write, piece))
    except BaseException:
        file.close()
        raise
    return file


def prepared(file: IO[bytes], mark: str, most_entries: int) -> Dockerfile:
    """Its Dockerfile, which the file then has in the place of its own. Raises BadTemplate."""
    return _in_thread(partial(_prepared, file, mark, most_entries))


def _in_thread(work: Callable[[], T]) -> T:
    """Looking through an archive takes long, and so may the disk."""
    done: T | Exception = gevent.get_hub().threadpool.apply(partial(_result_of, work))
    if isinstance(done, Exception):
        raise done
    return done


def _result_of(work: Callable[[], T]) -> T | Exception:
    """gevent logs what is raised in its threads as an error of the gateway's."""
    try:
        return work()
    except (GatewayError, OSError) as error:
        return error


def _prepared(file: IO[bytes], mark: str, most_entries: int) -> Dockerfile:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            member, end = _found(archive, most_entries)
            content = archive.extractfile(member)
            assert content is not None  # of a regular file
            read = dockerfile.read(content.read(dockerfile.LONGEST + 1), mark)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise BadTemplate(f"the context is no tar archive, or breaks off: {error}") from error
    # An entry of the same name takes the place of the earlier one.
    text = read.text.encode()
    marked = tarfile.TarInfo(NAME)
    marked.size, marked.mode, marked.mtime = len(text), 0o644, member.mtime
    appended = BytesIO()
    with tarfile.open(fileobj=appended, mode="w:") as more:
        more.addfile(marked, BytesIO(text))
    file.seek(end)
    file.truncate()
    file.write(appended.getvalue())
    file.flush()
    file.seek(0)
    return read


def _found(archive: tarfile.TarFile, most_entries: int) -> tuple[tarfile.TarInfo, int]:
    """The Dockerfile, and where the archive's last entry ends."""
    found, count = None, 0
    while (member := archive.next()) is not None:
        count += 1
        if count > most_entries:
            raise BadTemplate(f"a context may have {most_entries} entries")
        if member.name.removeprefix("./").rstrip("/") == NAME:
            found = member
        vars(archive)["members"] = []  # it keeps all of them otherwise
    if found is None or not found.isreg():
        raise BadTemplate(f"the context has no file called {NAME} at its top")
    return found, archive.offset
