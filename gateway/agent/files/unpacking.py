"""Unpack a tar archive: all of it beside the target first, and only then into it."""

import os
import time

from . import paths, records, staging, tar_format, trees
from .tar_format import BadArchive
from .writing import WINDOW_BYTES, WINDOW_FRAMES

PIECE_BYTES = 256 * 1024


def unpack(channel, message):
    """`unpack`: the archive comes on stream 0 after a `go`, plain or as gzip. `most` are bytes,
    entries and seconds. What is there already is merged with."""
    path, made = paths.given(message), []
    try:
        try:
            target = paths.opened_directory(path)
        except FileNotFoundError:
            os.close(paths.make_directories(path, made))
            target = paths.opened_directory(path)
        name = paths.TEMPORARY + message["token"].encode("ascii")
        try:
            os.mkdir(name, 0o700, dir_fd=target)
            try:
                _unpack(channel, message, target, name)
            finally:
                trees.remove(target, name, trees.Progress(None))
        finally:
            os.close(target)
    except BaseException as error:
        for directory in reversed(made):
            with paths.At(directory) as at:
                os.rmdir(at.path, dir_fd=at.dir_fd)
        if isinstance(error, BadArchive):
            raise paths.Refused("bad_archive", str(error)) from None
        raise
    with paths.At(path) as at:
        found = os.stat(at.path, dir_fd=at.dir_fd)
    channel.tell(event="done", stat=records.record(path, found), new=bool(made))


def _unpack(channel, message, target, name):
    staged = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target)
    try:
        channel.tell(event="go")
        source = _Source(_received(channel), message["most"])
        staged_tree = staging.Tree(staged, source)
        for member in tar_format.members(source):
            source.count_entry()
            staged_tree.add(member)
        source.drain()
        progress = trees.Progress(channel)
        staging.merge(staged, target, b"", staging.check, progress)
        staging.merge(staged, target, b"", staging.move, progress)
        staged_tree.give_directories_their_modes(target)
    finally:
        os.close(staged)


def _received(channel):
    """Pieces as they come; credit goes back as they are used."""
    channel.grant(WINDOW_BYTES, WINDOW_FRAMES)
    size = count = 0
    while True:
        piece = channel.receive()
        if not piece:
            return
        yield piece
        size, count = size + len(piece), count + 1
        if size >= WINDOW_BYTES // 4 or count >= WINDOW_FRAMES // 4:
            channel.grant(size, count)
            size = count = 0


def _unpacked(pieces):
    """What gzip has packed, never much at a time: a bomb is met by the limit of bytes."""
    import zlib

    unpacker, within = zlib.decompressobj(31), True
    for piece in pieces:
        while piece:
            try:
                data = unpacker.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise BadArchive("broken gzip: %s" % error) from None
            if data:
                yield data
            piece = unpacker.unconsumed_tail
            within = not unpacker.eof
            if unpacker.eof:
                piece = unpacker.unused_data.lstrip(b"\0")
                unpacker = zlib.decompressobj(31)
    if within:
        raise BadArchive("it ends too early")


class _Source:
    """Bytes of the archive, counted. `most` is (bytes, entries, seconds)."""

    def __init__(self, pieces, most):
        self._pieces = pieces
        self._buffer = b""
        self._at = 0
        self._left, self._entries, seconds = most
        self._until = time.monotonic() + seconds
        first = next(pieces, b"")
        while 0 < len(first) < 2:
            more = next(pieces, b"")
            if not more:
                break
            first += more
        if first[:2] == b"\x1f\x8b":
            self._pieces = _unpacked(_chain(first, pieces))
        else:
            self._buffer = first

    def exactly(self, size):
        """So many bytes, few."""
        parts = list(self.some(size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def some(self, size):
        """So many bytes, piece by piece."""
        self._left -= size
        if self._left < 0:
            raise paths.Refused("too_large", "too many bytes")
        while size:
            if self._at >= len(self._buffer):
                self._buffer, self._at = next(self._pieces, b""), 0
                if not self._buffer:
                    raise BadArchive("it ends too early")
                if time.monotonic() > self._until:
                    raise paths.Refused("too_large", "it took too long")
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def count_entry(self):
        self._entries -= 1
        if self._entries < 0:
            raise paths.Refused("too_large", "too many entries")

    def drain(self):
        """What follows the end says nothing; it counts all the same."""
        for piece in self._pieces:
            self._left -= len(piece)
            if self._left < 0:
                raise paths.Refused("too_large", "too many bytes")


def _chain(first, pieces):
    yield first
    for piece in pieces:
        yield piece
