"""What runs in a session: which processes are one command's, and what they do about signals.

A session's processes all carry its mark. Those of an earlier command, its servers in the
background, are told from the current one's by when they were started (proc(5)).
"""

import os
import signal
import time

from ..processes import proctree

FREEZE_S = 0.05
"""How long a shell may take to stop; SIGSTOP works at once where a processor is free."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Moment:
    """A point in time by which processes are earlier or later."""

    def __init__(self):
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        self.ticks = int(time.clock_gettime(clock) * _TICKS_PER_S)
        self.last_pid = _last_pid()

    def is_after(self, pid, ticks):
        """Whether a process, started at `ticks`, was there already."""
        # A tick is 10 ms. Within one, pids tell: they are given in ascending order.
        return ticks < self.ticks or (ticks == self.ticks and pid <= self.last_pid)


def _last_pid():
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


class Seen:
    """A process: its parent, when it was started, and the signals it ignores and catches."""

    def __init__(self, pid, parent, ticks, ignored, caught):
        self.pid = pid
        self.parent = parent
        self.ticks = ticks
        self._ignored = ignored
        self._caught = caught

    def ignores(self, number):
        """Whether the signal has no effect on it."""
        return bool(self._ignored >> (number - 1) & 1)

    def catches(self, number):
        """Whether it has a handler for the signal."""
        return bool(self._caught >> (number - 1) & 1)

    def catches_what(self, other):
        """Whether it has handlers for the same signals as another, as a forked child has."""
        return self._caught == other._caught

    def leaves_to_default(self, number):
        """Whether the signal does what it does by default."""
        return not self.ignores(number) and not self.catches(number)


def look_at(pid):
    """A Seen, or None when the process is gone or a zombie."""
    stat, status = _read(pid, "stat"), _read(pid, "status")
    if stat is None or status is None:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    masks = {b"SigIgn": 0, b"SigCgt": 0}
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name in masks:
            masks[name] = int(value, 16)
    return Seen(pid, int(fields[1]), int(fields[19]), masks[b"SigIgn"], masks[b"SigCgt"])


def of_command(shell, mark, since):
    """The processes of a session that were started since a Moment, without its shell."""
    found = (look_at(pid) for pid in proctree.members(shell, mark) if pid != shell)
    return [seen for seen in found if seen is not None and not since.is_after(seen.pid, seen.ticks)]


def still_there(processes):
    """Those of some Seen that have not ended, and what they have started since."""
    alive = set()
    for seen in processes:
        now = look_at(seen.pid)
        if now is not None and now.ticks == seen.ticks:
            alive.add(seen.pid)
    return proctree.with_descendants(alive) if alive else alive


def freeze(pid):
    """Stop a process (SIGSTOP), and wait until it has stopped. The caller sends SIGCONT."""
    proctree.send({pid}, signal.SIGSTOP)
    deadline = time.monotonic() + FREEZE_S
    while state(pid) not in ("T", "t", None) and time.monotonic() < deadline:
        time.sleep(0.0002)


def state(pid):
    """The letter that proc(5) has for a process's state, or None when it is gone."""
    stat = _read(pid, "stat")
    return None if stat is None else stat[stat.rindex(b")") + 2 :].split()[0].decode("ascii")


def switches(pid):
    """How often a process has begun to wait; the same twice: it has not run in between."""
    for line in (_read(pid, "status") or b"").splitlines():
        if line.startswith(b"voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return None


def program(pid):
    """The address of the program that a process runs, or None."""
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return None


def _read(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as file:
            return file.read()
    except OSError:
        return None
