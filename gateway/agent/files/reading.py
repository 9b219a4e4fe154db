"""Read a file, or a part of it; and look at one."""

import errno
import os
import stat

from . import bulk, details, paths, records

FIRST_BYTES = 64 * 1024
"""A file of this size is read whole before anything is said of it: so it is what it was."""

PIECE_BYTES = 256 * 1024


def opened_file(path):
    """A descriptor to read a regular file. Raises Refused and OSError.

    It is looked at before it is opened: opening a FIFO or a device may block, or do something.
    """
    found = paths.opened(path)
    try:
        mode = os.fstat(found).st_mode
        if stat.S_ISDIR(mode):
            raise paths.Refused("is_directory", "it is a directory")
        if not stat.S_ISREG(mode):
            raise paths.Refused("not_a_file", "it is a FIFO, a device or a socket")
        return os.open("/proc/self/fd/%d" % found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)


def look(channel, message):
    """`stat`: links are not followed."""
    path = paths.given(message)
    with paths.At(path) as at:
        found = os.stat(at.path, dir_fd=at.dir_fd, follow_symlinks=False)
        said = details.recorder(message)(path, found, at.dir_fd, at.path)
        channel.tell(event="stat", stat=said)


def read(channel, message):
    """`read`: what the file is, then its bytes. `range` is [first, last], either may be None.

    `unless` are ETags of what need not be sent; `only_if` are those that it must have, or "*".
    """
    path = paths.given(message)
    fd = opened_file(path)
    try:
        found = os.fstat(fd)
        said = records.record(path, found)
        etag = records.etag_of(found)
        only_if, unless = message.get("only_if"), message.get("unless")
        if only_if is not None and only_if != "*" and etag not in only_if:
            raise paths.Refused("changed", "it has another ETag")
        if unless is not None and (unless == "*" or etag in unless):
            channel.tell(event="file", stat=said, unchanged=True)
            return
        since = message.get("since")
        if unless is None and since is not None and int(found.st_mtime) <= since:
            channel.tell(event="file", stat=said, unchanged=True)
            return
        if message.get("head"):
            # What says 0 may have content: /proc.
            size = None if not found.st_size and _some(fd, 0, 1) else found.st_size
            channel.tell(event="file", stat=said, size=size)
            return
        wanted = message.get("range")
        if wanted is not None and message.get("range_if") not in (None, etag):
            wanted = None
        _send(channel, fd, found.st_size, said, wanted)
    finally:
        os.close(fd)


def _send(channel, fd, size, said, wanted):
    first = b""
    if size <= FIRST_BYTES:
        first = _some(fd, 0, FIRST_BYTES + 1)
        if size and len(first) > size:
            first = first[:size]  # it grows
        elif len(first) <= FIRST_BYTES:
            size = len(first)
        else:
            _send_unsized(channel, fd, said, first)
            return
    start, end = _part(size, wanted)
    head = channel.event({"event": "file", "stat": said, "size": size, "from": start, "to": end})
    if first or not size:
        channel.send(first[start:end], head, end=True)
        return
    if end - start > bulk.FROM_BYTES:
        with bulk.Offer(fd, end, channel) as offer:
            _send_pieces(channel, fd, start, end, [_head(channel, said, size, start, end, offer)])
    else:
        _send_pieces(channel, fd, start, end, [head])


def _head(channel, said, size, start, end, offer):
    event = {"event": "file", "stat": said, "size": size, "from": start, "to": end}
    return channel.event(dict(event, bulk=offer.token))


def _send_pieces(channel, fd, start, end, head):
    while start < end:
        piece = os.pread(fd, min(PIECE_BYTES, end - start), start)
        if not piece:
            raise paths.Refused("changed", "it has become shorter")
        channel.send(piece, *head)
        head = []
        start += len(piece)
    channel.send(b"", *head, end=True)


def _send_unsized(channel, fd, said, first):
    """A file that does not say how long it is: to its end."""
    channel.send(first, channel.event({"event": "file", "stat": said, "size": None}))
    at = len(first)
    while True:
        piece = _some(fd, at, PIECE_BYTES)
        channel.send(piece, end=not piece)
        if not piece:
            return
        at += len(piece)


def _some(fd, at, size):
    """Bytes from an offset on, as many as there are, at most `size`."""
    pieces, left = [], size
    while left:
        try:
            piece = os.pread(fd, left, at)
        except OSError as error:
            if error.errno == errno.ESPIPE:
                piece = os.read(fd, left)
            elif error.errno == errno.EAGAIN and pieces:
                break
            else:
                raise
        if not piece:
            break
        pieces.append(piece)
        at += len(piece)
        left -= len(piece)
    return b"".join(pieces)


def _part(size, wanted):
    """Where the wanted part begins and ends. Raises Refused when there is no such part."""
    if wanted is None:
        return 0, size
    first, last = wanted
    if first is None:  # the last so many bytes
        start, end = max(0, size - last), size
        if not last or not size:
            raise paths.Refused("bad_range", "%d" % size)
    else:
        start, end = first, size if last is None else min(size, last + 1)
    if start >= size:
        raise paths.Refused("bad_range", "%d" % size)
    return start, end
