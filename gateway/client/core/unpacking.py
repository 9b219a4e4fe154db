"""A directory that comes from a sandbox: its archive is hostile."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from .downloads import Progress


class _Pieces(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes], progress: Progress | None) -> None:
        self._pieces = pieces
        self._held = b""
        self._done = 0
        self._progress = progress

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
            self._done += len(piece)
            if self._progress is not None:
                self._progress(self._done, None)
        size = len(self._held) if size < 0 else size
        data, self._held = self._held[:size], self._held[size:]
        return data


def unpack(pieces: Iterator[bytes], target: Path, progress: Progress | None = None) -> None:
    """Unpack a tar as it comes. Members that are absolute, lead out of `target`, or are devices are
    refused (PEP 706). Symbolic links may point anywhere, as those of a virtual environment do: they
    are made when all else is there, so that nothing is written through one.

    Raises tarfile.TarError, and OSError for what cannot be written. Needs a Python with those
    checks: 3.10.12, 3.11.4 or newer.
    """
    if not hasattr(tarfile, "data_filter"):
        raise tarfile.TarError("this Python cannot unpack what it does not trust: use a newer one")
    target.mkdir(parents=True, exist_ok=True)
    links: list[tuple[str, str]] = []
    with tarfile.open(fileobj=_Pieces(pieces, progress), mode="r|") as archive:
        for member in archive:
            if member.issym():
                links.append((member.name, member.linkname))
            else:
                archive.extract(member, target, filter="data")
    for name, pointed_at in links:
        _link(target, name, pointed_at)


def _link(target: Path, name: str, pointed_at: str) -> None:
    place = target / name.lstrip("/")
    if place.name in ("", ".", ".."):
        raise tarfile.FilterError(f"{name!r} is no name of a link")
    if not _is_within(place.parent, target):
        raise tarfile.FilterError(f"{name!r} leads out of the directory")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    os.symlink(pointed_at, place)


def _is_within(directory: Path, target: Path) -> bool:
    """As it is on the disk, with all links followed; what is missing is looked for as far as it is
    there."""
    there = directory
    while not there.exists() and there != there.parent:
        if there.is_symlink():
            return False
        there = there.parent
    real, root = os.path.realpath(there, strict=True), os.path.realpath(target, strict=True)
    return ".." not in directory.parts and (real == root or real.startswith(root + os.sep))
