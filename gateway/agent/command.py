"""One command: its process, its pipes, its end."""

import array
import errno
import fcntl
import os
import signal
import subprocess
import termios
import time

from . import frames
from .output import BLOCK, TAIL_BYTES, OutputLog

NOT_EXECUTABLE = 126
NOT_FOUND = 127

PIPE_BYTES = 64 * 1024
"""What the kernel may still hold of a pipe when its process has exited (pipe(7))."""

OOM_SCORE_ADJ = b"500"
"""Commands are killed before the agent when the sandbox runs out of memory (proc(5))."""

SHELLS = ("/bin/bash", "/bin/sh")


class Command:
    """A shell command from its start until its output is forgotten.

    The loop that owns it calls `readable` when one of `pipes` is, and `exited` when its process
    is reaped. `finished` turns true once and never back.
    """

    def __init__(self, key, request_id, text):
        self.key = key
        self.request_id = request_id
        self.text = text
        self.pid = None
        self.returncode = None
        self.failure = None
        self.finished = False
        self.finished_at = None
        self.readers = []
        self.pipes = {}
        self._logs = {frames.STDOUT: OutputLog(), frames.STDERR: OutputLog()}
        self.logs = tuple(self._logs.items())

    def start(self, environment, directory):
        """Start the process in a session and process group of its own.

        When it cannot be started, the command is finished at once and `failure` says why.
        """
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe()
        try:
            self._spawn(write_out, write_err, environment, directory)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            os.close(read_out)
            os.close(read_err)
            missing = getattr(error, "errno", None) == errno.ENOENT
            self._fail(str(error), NOT_FOUND if missing else NOT_EXECUTABLE)
            return
        finally:
            os.close(write_out)
            os.close(write_err)
        for fd, stream in ((read_out, frames.STDOUT), (read_err, frames.STDERR)):
            os.set_blocking(fd, False)
            self.pipes[fd] = stream
        self._prefer_as_oom_victim()

    def _spawn(self, stdout, stderr, environment, directory):
        shell = SHELLS[0] if os.path.exists(SHELLS[0]) else SHELLS[1]
        process = subprocess.Popen(
            [shell, "-c", self.text.encode("utf-8")],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        self.pid = process.pid
        # The loop reaps with waitpid(2); without a return code here, Popen would try as well.
        process.returncode = 0

    def _prefer_as_oom_victim(self):
        try:
            fd = os.open("/proc/%s/oom_score_adj" % self.pid, os.O_WRONLY)
        except OSError:
            return  # it has exited already, or this kernel has no such file
        try:
            os.write(fd, OOM_SCORE_ADJ)
        except OSError:
            pass
        finally:
            os.close(fd)

    def _fail(self, why, returncode):
        self.failure = why
        self.returncode = returncode
        self._finish()

    def wants_input(self):
        """Whether its pipes may be read: not while a following reader is too far behind."""
        for reader in self.readers:
            if reader.follow:
                for stream, log in self.logs:
                    if reader.backlog(stream, log.size) > TAIL_BYTES - BLOCK - PIPE_BYTES:
                        return False
        return True

    def readable(self, fd):
        """Take what the pipe holds, at most one block. False when it is at its end."""
        try:
            data = os.read(fd, BLOCK)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EINTR)
        if not data:
            return False
        if not self.finished:
            self._logs[self.pipes[fd]].append(data)
        return True

    def exited(self, status):
        """The process was reaped with this wait status (waitpid(2)).

        What it left in the pipes is drained, no more: a child in the background that keeps a
        pipe open, or goes on writing, does not hold the result back.
        """
        if os.WIFSIGNALED(status):
            self.returncode = 128 + os.WTERMSIG(status)
        else:
            self.returncode = os.WEXITSTATUS(status)
        for fd in self.pipes:
            left = _bytes_in_pipe(fd)
            while left > 0:
                before = self._logs[self.pipes[fd]].size
                if not self.readable(fd):
                    break
                got = self._logs[self.pipes[fd]].size - before
                if not got:
                    break
                left -= got
        self._finish()

    def _finish(self):
        self.finished = True
        self.finished_at = time.monotonic()

    def kill(self):
        """SIGKILL to the whole process group."""
        if self.pid is not None and not self.finished:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except OSError:
                pass

    def exit_event(self):
        """The payload of the EVENT that ends the command."""
        event = {
            "event": "exit",
            "returncode": self.returncode,
            "stdout": self._logs[frames.STDOUT].size,
            "stderr": self._logs[frames.STDERR].size,
        }
        if self.failure is not None:
            event["failure"] = self.failure
        return event

    @property
    def kept(self):
        """Bytes of output held in memory."""
        return sum(log.kept for _, log in self.logs)


def _bytes_in_pipe(fd):
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
