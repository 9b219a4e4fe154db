"""Programs of the host that the gateway starts, always as root and without a shell."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Sequence

import gevent
from gevent.monkey import get_original

from gateway.errors import HostToolFailed
from gateway.host import oom_score

log = logging.getLogger(__name__)

# Not gevent's: those learn of a child's end from the event loop, which now and then did not hear
# of it. The child stayed a zombie and seemed to run for ever.
_posix_spawn, _waitpid = get_original("os", ("posix_spawn", "waitpid"))

LIMIT_S = 30.0

_LOOK_EVERY_S = 0.003

_DEATH_LIMIT_S = 1.0
"""How long a program that was killed is waited for: the kernel may hold it in a call for longer."""

_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Not everybody's PATH has the sbin directories, and root's own is nothing to rely on."""

# Messages in English, and nothing of the gateway's own environment.
_ENVIRONMENT = {"PATH": _PLACES, "LC_ALL": "C"}


class TookTooLong(HostToolFailed):
    """Another time it may not."""


def find(program: str) -> str | None:
    """The path of a program, None where the host does not have it."""
    return shutil.which(program, path=_PLACES)


def run(argv: Sequence[str], given: str = "", *, good: tuple[int, ...] = (0,)) -> str:
    """What a program prints that ends with a status in `good`; `given` is its standard input.
    Only the calling greenlet waits.

    By posix_spawn(3), which borrows the parent's memory until the program is loaded. What gevent
    has in the place of `subprocess` forks, and that stops a worker of 100 MB for 14 ms.

    Raises HostToolFailed when it is missing or fails, and TookTooLong after `LIMIT_S`.
    """
    path = find(argv[0])
    if path is None:
        raise HostToolFailed(f"{argv[0]} is not installed")
    # Files in memory: nobody has to read or write while the program runs.
    streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        _fill(streams[0], given)
        status = _wait(_start(path, argv, streams), argv[0])
        if status not in good:
            told = _content(streams[2]).strip()[-500:]
            raise HostToolFailed(f"{' '.join(argv)}: status {status}: {told}")
        return _content(streams[1])
    except OSError as error:
        raise HostToolFailed(f"{argv[0]}: {error}") from error
    finally:
        for stream in streams:
            os.close(stream)


def _start(path: str, argv: Sequence[str], streams: list[int]) -> int:
    pid: int = _posix_spawn(
        path,
        list(argv),
        _ENVIRONMENT,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)],
        # Python ignores it, and what is ignored is inherited.
        setsigdef=[signal.SIGPIPE],
        setsigmask=[],
    )
    oom_score.go_like_others(pid)
    return pid


def _wait(pid: int, name: str) -> int:
    """The exit status, negative for a signal."""
    deadline = time.monotonic() + LIMIT_S
    ended = False
    try:
        while True:
            found, status = _waitpid(pid, os.WNOHANG)
            if found == pid:
                ended = True
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                raise TookTooLong(f"{name} took longer than {LIMIT_S:g} s")
            gevent.sleep(_LOOK_EVERY_S)
    finally:
        if not ended:  # also when the greenlet is killed
            os.kill(pid, signal.SIGKILL)
            if not _reaped(pid, within_s=_DEATH_LIMIT_S):
                log.error("%s (%d) does not die: the kernel holds it in a call", name, pid)
                gevent.spawn(_reaped, pid, within_s=math.inf)


def _reaped(pid: int, *, within_s: float) -> bool:
    """Whether a program that was killed has ended. Never by waiting in the kernel, which would stop
    the whole worker."""
    deadline = time.monotonic() + within_s
    while _waitpid(pid, os.WNOHANG)[0] != pid:
        if time.monotonic() > deadline:
            return False
        gevent.sleep(_LOOK_EVERY_S if within_s < math.inf else 1.0)
    return True


def _fill(stream: int, text: str) -> None:
    os.write(stream, text.encode())
    os.lseek(stream, 0, os.SEEK_SET)


def _content(stream: int) -> str:
    size = os.fstat(stream).st_size
    return os.pread(stream, size, 0).decode(errors="replace")


def is_root() -> bool:
    return os.geteuid() == 0
