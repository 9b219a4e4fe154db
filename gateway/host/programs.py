"""Programs of the host that the gateway starts, always as root and without a shell."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import gevent
from gevent.monkey import get_original

from gateway.errors import HostToolFailed
from gateway.host import oom_score
from gateway.host.kernel_calls import in_thread

log = logging.getLogger(__name__)

# Not gevent's: that learns of a child's end from the event loop, which now and then did not hear
# of it. The child stayed a zombie and seemed to run for ever.
_waitpid = get_original("os", "waitpid")

_libc = ctypes.CDLL(None, use_errno=True)
_STRUCT_BYTES = 512
"""More than any of posix_spawn(3)'s structures has."""
_SET_SIGNAL_DEFAULTS, _SET_SIGNAL_MASK = 0x04, 0x08

LIMIT_S = 30.0

_FIRST_LOOK_S, _LOOK_EVERY_S = 0.0005, 0.003
"""Most programs end within a millisecond or two: the time between two looks grows from the first to
the second."""

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

    By posix_spawn(3) in a thread: it borrows the parent's memory until the program is loaded, and
    keeps who calls it waiting, up to 245 ms while others have the host's disk flush. Python's own
    keeps all threads waiting. What gevent has in the place of `subprocess` forks, and that stops a
    worker of 100 MB for 14 ms.

    Raises HostToolFailed when it is missing or fails, and TookTooLong after `LIMIT_S`.
    """
    path = find(argv[0])
    if path is None:
        raise HostToolFailed(f"{argv[0]} is not installed")
    # Files in memory: nobody has to read or write while the program runs.
    try:
        streams = [_Stream(name) for name in ("stdin", "stdout", "stderr")]
        streams[0].fill(given)
        pid = in_thread(partial(_spawn, path, argv, streams), _end)
        oom_score.go_like_others(pid)
        status = _wait(pid, argv[0])
        if status not in good:
            told = streams[2].content().strip()[-500:]
            raise HostToolFailed(f"{' '.join(argv)}: status {status}: {told}")
        return streams[1].content()
    except OSError as error:
        raise HostToolFailed(f"{argv[0]}: {error}") from error


@contextmanager
def started(argv: Sequence[str]) -> Iterator[int]:
    """The pid of a program that runs until this ends, and is killed then.

    Raises HostToolFailed when it is missing, and OSError.
    """
    path = find(argv[0])
    if path is None:
        raise HostToolFailed(f"{argv[0]} is not installed")
    streams = [_Stream(name) for name in ("stdin", "stdout", "stderr")]
    pid = in_thread(partial(_spawn, path, argv, streams), _end)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        _reap_the_killed(pid, argv[0])


class _Stream:
    """A file in memory. It is closed when nobody has it any more: neither who waits for the program
    nor the thread that starts it, of which either may be the last."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def fill(self, text: str) -> None:
        os.write(self.fd, text.encode())
        os.lseek(self.fd, 0, os.SEEK_SET)

    def content(self) -> str:
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0).decode(errors="replace")

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def _spawn(path: str, argv: Sequence[str], streams: Sequence[_Stream]) -> int:
    """The pid of a program that has these as its standard streams. Raises OSError."""
    actions, attributes, signals = (ctypes.create_string_buffer(_STRUCT_BYTES) for _ in range(3))
    pid = ctypes.c_int()
    environment = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
    _good(_libc.posix_spawn_file_actions_init(actions))
    _good(_libc.posix_spawnattr_init(attributes))
    try:
        for number, stream in enumerate(streams):
            _good(_libc.posix_spawn_file_actions_adddup2(actions, stream.fd, number))
        _libc.sigemptyset(signals)
        _good(_libc.posix_spawnattr_setsigmask(attributes, signals))
        # Python ignores it, and what is ignored is inherited.
        _libc.sigaddset(signals, signal.SIGPIPE)
        _good(_libc.posix_spawnattr_setsigdefault(attributes, signals))
        flags = ctypes.c_short(_SET_SIGNAL_DEFAULTS | _SET_SIGNAL_MASK)
        _good(_libc.posix_spawnattr_setflags(attributes, flags))
        words = (_strings(argv), _strings(environment))
        _good(_libc.posix_spawn(ctypes.byref(pid), os.fsencode(path), actions, attributes, *words))
    finally:
        _libc.posix_spawn_file_actions_destroy(actions)
        _libc.posix_spawnattr_destroy(attributes)
    return pid.value


def _good(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _strings(texts: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """As execve(2) takes them."""
    return (ctypes.c_char_p * (len(texts) + 1))(*map(os.fsencode, texts), None)


def _end(pid: int) -> None:
    """Of a program that nobody waits for any more."""
    os.kill(pid, signal.SIGKILL)
    _waitpid(pid, 0)


def _wait(pid: int, name: str) -> int:
    """The exit status, negative for a signal."""
    deadline = time.monotonic() + LIMIT_S
    ended = False
    pause_s = _FIRST_LOOK_S
    try:
        while True:
            found, status = _waitpid(pid, os.WNOHANG)
            if found == pid:
                ended = True
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                raise TookTooLong(f"{name} took longer than {LIMIT_S:g} s")
            gevent.sleep(pause_s)
            pause_s = min(2 * pause_s, _LOOK_EVERY_S)
    finally:
        if not ended:  # also when the greenlet is killed
            os.kill(pid, signal.SIGKILL)
            _reap_the_killed(pid, name)


def _reap_the_killed(pid: int, name: str) -> None:
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


def is_root() -> bool:
    return os.geteuid() == 0
