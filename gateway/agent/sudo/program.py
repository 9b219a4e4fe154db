"""Run a program for `sudo`, and pass on signals and its end."""

import array
import fcntl
import os
import pty
import select
import signal
import socket
import termios

from ..processes import proctree
from ..processes.process import OOM_SCORE_ADJ, set_window_size
from . import request

NOT_EXECUTABLE = 126
NOT_FOUND = 127


def run(asking, wanted):
    """Until the program has ended. If whoever asked goes away before, so does the program."""
    master = slave = None
    if any(wanted.terminals):
        # The terminal of whoever asks is that of another session: no program of ours could be in
        # its foreground. So it gets one of its own, and `sudo` carries the bytes.
        master, slave = pty.openpty()
        set_window_size(master, wanted.size[1], wanted.size[0])
    changed, wakeup = socket.socketpair()
    changed.setblocking(False)
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    pid = _started(wanted, slave)
    for fd in [*wanted.fds, wanted.directory, slave]:
        if fd is not None:
            os.close(fd)
    if master is None:
        request.tell(asking, "S", str(pid))
    else:
        _hand_over(asking, master, pid)
        os.close(master)
    _watch(asking, pid, changed)


def _hand_over(asking, master, pid):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))]
    try:
        asking.sendmsg([b"S %d\n" % pid], rights)
    except OSError:
        pass  # it is seen below that it has gone


def _watch(asking, pid, changed):
    heard = b""
    while True:
        select.select([asking, changed], [], [])
        if _has_ended(asking, pid, changed):
            return
        try:
            piece = asking.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError:
            piece = b""
        if not piece:
            proctree.kill_all(lambda: _tree(pid), pid)
            return
        heard += piece
        *lines, heard = heard.split(b"\n")
        for line in lines:
            _pass_on(pid, line)
        heard = heard[:64]


def _pass_on(pid, line):
    """`K 15`: a signal for the program and all it has started."""
    kind, _, number = line.partition(b" ")
    if kind == b"K" and number.isdigit() and 0 < int(number) < signal.NSIG:
        proctree.send(_tree(pid), int(number), pid)


def _tree(pid):
    return proctree.members(pid, "sudo-%d" % pid)


def _has_ended(asking, pid, changed):
    try:
        while changed.recv(4096):
            pass
    except OSError:
        pass
    try:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    except OSError:
        return True
    if not found:
        return False
    if os.WIFSTOPPED(status):
        request.tell(asking, "T", str(os.WSTOPSIG(status)))
        return False
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    request.tell(asking, "X", str(code))
    return True


def _started(wanted, slave):
    """Its pid. Raises Refused when there is no process left."""
    try:
        pid = os.fork()
    except OSError as error:
        raise request.Refused("no process for it: %s" % (error.strerror or error)) from None
    if pid:
        return pid
    code = NOT_EXECUTABLE
    try:
        _become(wanted, slave)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            code = NOT_FOUND
        name = wanted.argv[0].decode("utf-8", "replace")
        words = "sudo: %s: %s\n" % (name, error.strerror or error)
        os.write(2, words.encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _become(wanted, slave):
    """In the program's own process."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    for number, (fd, is_terminal) in enumerate(zip(wanted.fds, wanted.terminals)):
        os.dup2(slave if is_terminal else fd, number)
    if slave is not None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    with open("/proc/self/oom_score_adj", "wb", 0) as file:
        file.write(OOM_SCORE_ADJ)
    account = wanted.account
    if account.pw_uid:
        os.setgroups(os.getgrouplist(account.pw_name, account.pw_gid))
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.umask(wanted.umask)
    os.fchdir(wanted.directory)
    os.execvpe(wanted.argv[0], wanted.argv, wanted.environment)
