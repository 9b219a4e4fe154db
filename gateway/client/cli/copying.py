"""`cp`: files and directories, in and out."""

from __future__ import annotations

import io
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.downloads import Progress
from .exit_status import STDERR, Unwritable, write
from .invocation import Invocation, with_gateway

if TYPE_CHECKING:
    from ..models.files import FileStat
    from ..sync.sandbox import Sandbox

_REMOTE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):(.*)", re.DOTALL)


def _remote(text: str) -> tuple[str, str] | None:
    """SANDBOX:PATH; a name with a slash before the colon is a local one."""
    found = _REMOTE.fullmatch(text)
    return (found[1], found[2] or ".") if found else None


@click.command("cp")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.argument("source")
@click.argument("target")
@with_gateway
def cp_command(invocation: Invocation, source: str, target: str, quiet: bool) -> None:
    """Copy a file or a directory into a sandbox or out of it.

    One of the two is SANDBOX:PATH, where PATH is absolute or from the user's home on; the other is
    a local path, or - for what is piped. A directory that is there gets the copy into it. After a
    break a download goes on, and an upload begins again: nobody sees half of a file.
    """
    here_to_there, there_to_here = _remote(target), _remote(source)
    if (here_to_there is None) == (there_to_here is None):
        raise click.UsageError("one of the two is SANDBOX:PATH, and the other is a local path")
    shows = not quiet and not invocation.is_json and sys.stderr.isatty()
    if here_to_there is not None:
        sandbox = invocation.sandbox(here_to_there[0])
        done = _upload(sandbox, source, here_to_there[1], shows)
    else:
        assert there_to_here is not None
        sandbox = invocation.sandbox(there_to_here[0])
        done = _download(sandbox, there_to_here[1], target, shows)
    if invocation.is_json:
        invocation.print_json({"source": source, "target": done})


@contextmanager
def _progress(name: str, shows: bool) -> Iterator[Progress | None]:
    if not shows:
        yield None
        return
    last = -1

    def told(done: int, size: int | None) -> None:
        nonlocal last
        step = done * 100 // size if size else done >> 20
        if step == last:
            return
        last = step
        bar = f"{'=' * (step // 4):25}| {step:3}%" if size else ""
        try:
            write(STDERR, f"\r{name[-40:]} {bar} {done / 1048576:.1f} MiB\x1b[K".encode())
        except Unwritable:
            pass  # the copy is what matters

    yield told
    if last >= 0:
        click.echo(err=True)


# --- in ------------------------------------------------------------------------------------------


def _upload(sandbox: Sandbox, source: str, target: str, shows: bool) -> str:
    if source == "-":
        with open(0, "rb", closefd=False, buffering=0) as piped, _progress("-", shows) as progress:
            found = sandbox.files.write(target, io.BufferedReader(piped), progress=progress)
        return found.path
    local = Path(source)
    if not local.exists():
        raise click.UsageError(f"{source}: no such file or directory")
    place = _within(sandbox, source, target)
    with _progress(source, shows) as progress:
        if local.is_dir():
            sandbox.files.make_directory(place)
            sandbox.files.upload_directory(local, place, progress=progress)
            return place
        mode = local.stat().st_mode & 0o777
        return sandbox.files.upload(local, place, mode=mode, progress=progress).path


def _within(sandbox: Sandbox, source: str, target: str) -> str:
    """Where the copy stands: in a directory that is there, else at the path itself. `source/.`
    means what is in it."""
    if source.endswith(("/.", "/..")) or source in (".", ".."):
        return target
    name = Path(source).resolve().name if source.endswith("..") else Path(source).name
    if target.endswith("/") or _is_directory(sandbox, target):
        return posixpath.join(target, name)
    return target


def _is_directory(sandbox: Sandbox, path: str) -> bool:
    found = _stat(sandbox, path)
    if found is not None and found.type == "symlink":
        found = _stat(sandbox, f"{path}/.")
    return found is not None and found.is_directory


def _stat(sandbox: Sandbox, path: str) -> FileStat | None:
    from ..error_codes import NotDirectory, PathNotFound

    try:
        return sandbox.files.stat(path)
    except (PathNotFound, NotDirectory):
        return None


# --- out -----------------------------------------------------------------------------------------


def _download(sandbox: Sandbox, source: str, target: str, shows: bool) -> str:
    if target == "-":
        with open(1, "wb", closefd=False, buffering=0) as out, _progress(source, False) as progress:
            sandbox.files.download_to(source, _Whole(out.fileno()), progress=progress)
        return "-"
    is_contents = source.endswith("/.") or source in (".", "..")
    is_directory = is_contents or _is_directory(sandbox, source)
    local = Path(target)
    name = posixpath.basename(source.rstrip("/"))
    if not is_contents and (local.is_dir() or target.endswith(os.sep)):
        local = local / name
    local.parent.mkdir(parents=True, exist_ok=True)
    with _progress(source, shows) as progress:
        if is_directory:
            sandbox.files.download_directory(source, local, progress=progress)
        elif local.exists() and not local.is_file():
            with local.open("wb", buffering=0) as special:  # a device, a pipe
                sandbox.files.download_to(source, _Whole(special.fileno()), progress=progress)
        else:
            sandbox.files.download(source, local, progress=progress)
    return str(local)


class _Whole:
    """Writes all of what it is given, also where a pipe takes a part only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        try:
            write(self._fd, data)
        except Unwritable as error:
            if error.is_closed:
                raise BrokenPipeError from None
            raise OSError(str(error)) from None
