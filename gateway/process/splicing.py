"""Bytes from one socket to another without this process reading them (splice(2))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Any

import gevent.socket

from gateway.process.giving_way import Turn

PIPE_BYTES = 512 * 1024
_SET_PIPE_SIZE = 1031  # fcntl(2), F_SETPIPE_SZ
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

SOON_S = 0.5
"""So long it is waited until a socket takes more, before its bytes are written the slow way."""


class Ended(OSError):
    """The source has ended too early, or was silent for too long."""


def splice(
    source: Any,
    target: Any,
    count: int,
    *,
    silence_s: float,
    write: Callable[[bytes], None],
    moved: Callable[[int], None] = lambda _count: None,
) -> None:
    """Pass `count` bytes on, in a greenlet. `write` writes all of what is left in between to the
    target; it is for targets that take little, and may give them up. Raises Ended for the source,
    and other OSErrors for the target.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    turn = Turn()
    try:
        _enlarge(writing)
        while count:
            turn.begins()
            size = _filled(source, writing, min(count, PIPE_BYTES), silence_s)
            moved(size)
            _emptied(reading, target, size, write)
            count -= size
            turn.took(size)
    finally:
        os.close(reading)
        os.close(writing)


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, _SET_PIPE_SIZE, PIPE_BYTES)
    except OSError:
        pass  # the user has too much of it: it goes in smaller steps


def _filled(source: Any, pipe: int, most: int, silence_s: float) -> int:
    while True:
        try:
            size = os.splice(source.fileno(), pipe, most, flags=_FLAGS)
        except BlockingIOError:
            gevent.socket.wait_read(source.fileno(), timeout=silence_s, timeout_exc=Ended())
            continue
        except OSError as error:
            raise Ended(str(error)) from error
        if not size:
            raise Ended("it ended too early")
        break
    # A UNIX socket gives 64 KiB at a time: what else is there goes along.
    while size < most:
        try:
            more = os.splice(source.fileno(), pipe, most - size, flags=_FLAGS)
        except OSError:
            break  # there is no more, or no more room; what else it was shows the next time
        if not more:
            break
        size += more
    return size


def _emptied(pipe: int, target: Any, size: int, write: Callable[[bytes], None]) -> None:
    while size:
        try:
            size -= os.splice(pipe, target.fileno(), size, flags=_FLAGS)
            continue
        except BlockingIOError:
            pass
        try:
            gevent.socket.wait_write(target.fileno(), timeout=SOON_S)
        except TimeoutError:
            while size:
                piece = os.read(pipe, size)
                write(piece)
                size -= len(piece)
