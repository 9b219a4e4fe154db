"""With what `sgw` ends, and what it says for itself."""

from __future__ import annotations

import os
import select
import sys

WRONG_USAGE = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
"""128 and SIGPIPE, as shells say it."""
FAILED = 255

STDOUT, STDERR = 1, 2


class Ended(Exception):
    """End with this status; whatever there is to say has been said."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Unwritable(Exception):
    """The output cannot be passed on. `is_closed`: nobody reads it any more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write the output: {error.strerror}")
        self.is_closed = isinstance(error, BrokenPipeError)


def write(fd: int, data: bytes) -> None:
    """All of it, at once: nothing stays in a buffer that could be lost. Raises Unwritable."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError as error:
            raise Unwritable(error) from None


def say(text: str) -> None:
    """A line on stderr, in the name of sgw."""
    line = f"sgw: {text}\n".encode(sys.getfilesystemencoding(), "backslashreplace")
    try:
        write(STDERR, line)
    except Unwritable:
        pass  # nobody hears it; the status says it too


def status_of(returncode: int) -> int:
    """A command's return code as a status; 255 for what is none."""
    return returncode if 0 <= returncode < 256 else FAILED
