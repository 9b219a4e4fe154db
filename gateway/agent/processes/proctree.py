"""Find all processes of a command, also those that moved away, and signal them (proc(5))."""

import os
import signal

from ..signals import ENDING
from .process import MARKER

MOST_ROUNDS = 20
"""In which a KILL looks for those that were started meanwhile."""


def members(root, mark, alone_since=None):
    """The processes of a command, parents before their children, as {pid: process group}: `root`,
    its process group and session, its descendants, and whatever still carries the command's mark
    in its environment. `root` may be None.

    A daemon that has emptied its environment carries no mark. Where the command is the only one
    that runs, whatever was started since `alone_since` (clock ticks, as in /proc/pid/stat), was
    orphaned, belongs to the agent's own user and carries no mark of anybody counts as its doing
    too.

    A process that lost its parents by daemonising is found by the mark.
    """
    mark = ("%s=%s" % (MARKER, mark)).encode("utf-8")
    parents, groups, found = {}, {}, set()
    for pid, parent, group, session, started in _processes():
        parents[pid] = parent
        groups[pid] = group
        if (
            root in (pid, group, session)
            or _carries(pid, mark)
            or (
                alone_since is not None
                and parent == 1
                and started >= alone_since
                and _belongs_to_me(pid)
                and not _carries_any(pid)
            )
        ):
            found.add(pid)
    found = _grown(found, parents)
    found.discard(os.getpid())
    return {pid: groups[pid] for pid in sorted(found, key=lambda pid: (_depth(pid, parents), pid))}


def with_descendants(pids):
    """These processes and all that descend from them."""
    return _grown(set(pids), {pid: parent for pid, parent, _, _, _ in _processes()})


def _grown(found, parents):
    grown = True
    while grown:
        grown = False
        for pid, parent in parents.items():
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return found


def _depth(pid, parents):
    depth = 0
    while pid in parents and depth < len(parents):
        pid, depth = parents[pid], depth + 1
    return depth


def send(found, number, root=None):
    """Send a signal to each of some pids or `members`, once. How many got it: not what is gone.

    The group that `root` leads gets it in one step (kill(2)), and parents before their children:
    a shell whose child was hit first would get on to its next step, and perhaps to a success.
    """
    reached = 0
    if root is not None and found.get(root) == root:
        try:
            os.killpg(root, number)
            reached += sum(group == root for group in found.values())
            found = {pid: group for pid, group in found.items() if group != root}
        except OSError:
            pass
    for pid in found:
        try:
            os.kill(pid, number)
            reached += 1
        except OSError:
            continue
    return reached


def kill_all(look, root=None):
    """KILL what `look()` finds, and what that started meanwhile. How many got it."""
    done = set()
    for _ in range(MOST_ROUNDS):
        found = {pid: group for pid, group in look().items() if pid not in done}
        if not found:
            break
        send(found, signal.SIGKILL, root)
        done.update(found)
    return len(done)


def ends_by(pid, number):
    """Whether a process does nothing about a signal that ends whoever does nothing about it.

    One that has exited already, and was not reaped yet, has no handlers either.
    """
    if number not in ENDING:
        return False
    masks = {}
    try:
        with open("/proc/%d/status" % pid, "rb") as file:
            for line in file:
                if line.startswith((b"SigBlk:", b"SigIgn:", b"SigCgt:")):
                    name, mask = line.split()
                    masks[name] = int(mask, 16)
    except OSError:
        return False
    return not any(mask >> (number - 1) & 1 for mask in masks.values())


def signal_number(name):
    """The number of `INT` or `SIGINT`. None if there is no such signal."""
    name = name if name.startswith("SIG") else "SIG" + name
    number = getattr(signal, name, None)
    return int(number) if isinstance(number, signal.Signals) else None


def _processes():
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, "rb") as file:
                stat = file.read()
        except OSError:
            continue
        # The name, in parentheses, may itself hold spaces and parentheses.
        fields = stat[stat.rindex(b")") + 2 :].split()
        yield int(entry), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])


def start_ticks(pid):
    """When a process started, in clock ticks since the machine did; None if it is gone."""
    return next((started for p, _, _, _, started in _processes() if p == pid), None)


def _environment(pid):
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _belongs_to_me(pid):
    """Of others, whose commands other agents run, the environment cannot be read (proc(5))."""
    try:
        return os.stat("/proc/%d" % pid).st_uid == os.getuid()
    except OSError:
        return False


def _carries(pid, mark):
    return mark in _environment(pid)


def _carries_any(pid):
    prefix = MARKER.encode("ascii") + b"="
    return any(entry.startswith(prefix) for entry in _environment(pid))
