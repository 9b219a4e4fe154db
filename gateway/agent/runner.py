"""Runs commands: starts them, reads what they write, notices their end, times them out."""

import os
import signal
import socket

from . import descriptors, proctree, surroundings
from .command import Command
from .directories import NoDirectory, directory_at
from .lingering import Lingering
from .login import LOGIN_SHELL
from .loop import WRITE
from .process import (
    MARKER,
    NOT_EXECUTABLE,
    StartFailed,
    on_pipes,
    on_terminal,
    set_window_size,
    shell_command,
    terminal_has_input,
)
from .sessions import Sessions
from .stdin import Stdin, StdinClosed

END_AGAIN_S, END_AGAIN_MOST_S = 0.05, 1.0
"""How often a terminal whose input has ended for good is looked at; less often each time."""

LOOK_AGAIN_S = 0.05
"""After how long a terminal that nobody had open is looked at again."""

TERMINAL_DRAIN_S = 0.2
"""How long a terminal's last output may take to come through after its process has exited."""


class Runner:
    """Owns the processes. `retention` knows the commands, `on_quiet()` is called whenever the
    last running one has ended. `environment` is what the container gives."""

    def __init__(self, loop, limits, retention, environment, on_quiet):
        self._loop = loop
        self._limits = limits
        self._retention = retention
        self._on_quiet = on_quiet
        self._environment, self._home = surroundings.of_commands(environment)
        self._by_pid = {}
        self._lingering = Lingering(loop)
        self._sessions = Sessions(loop, self._attach_outputs, self._finish, self._directory)
        self.running = 0
        loop.watch(_child_signals(), self._reap)

    # --- starting ------------------------------------------------------------------------------

    def start(self, key, message):
        """A new command from the payload of an OPEN; it may have failed at once.

        Raises KeyError, TypeError or ValueError when the payload is not complete.
        """
        command = Command(
            key,
            str(message["request_id"]),
            str(message["command"]),
            message.get("meta"),
            self._limits.head_bytes,
            self._limits.tail_bytes,
        )
        command.session = message.get("session")
        if message.get("input") is not None:
            command.input = (message["input"].encode("utf-8"), not message.get("interactive"))
        command.counts = not message.get("uncounted")
        self._retention.add(command)
        self.running += command.counts
        try:
            if descriptors.run_short() and not self._lingering.hand_on():
                raise StartFailed(
                    "processes in the background hold too many pipes of earlier commands",
                    NOT_EXECUTABLE,
                )
            self._launch(command, message)
        except StartFailed as failure:
            command.failed(str(failure), failure.returncode)
            self._finish(command)
            return command
        except OSError as error:  # no descriptor left for its pipes
            command.failed(str(error), NOT_EXECUTABLE)
            self._finish(command)
            return command
        if message.get("timeout") is not None:
            self._loop.after(float(message["timeout"]), lambda: self._time_out(command))
        return command

    def _launch(self, command, message):
        directory = message.get("cwd")
        environment = message.get("env") or {}
        with_stdin = command.input is not None or bool(message.get("interactive"))
        if command.session is not None:
            self._sessions.run(
                command,
                (directory, environment, with_stdin),
                self._environment,
                self._directory(None),
            )
            return
        full = dict(self._environment, **environment)
        full[MARKER] = command.mark
        directory = self._directory(directory)
        terminal = message.get("tty")
        text = LOGIN_SHELL if message.get("login") else command.text
        with shell_command(text.encode("utf-8")) as (argv, fds):
            if terminal:
                size = terminal["cols"], terminal["rows"]
                process = on_terminal(argv, full, directory, size[0], size[1], fds)
            else:
                process = on_pipes(argv, full, directory, with_stdin, fds)
        command.began(process)
        self._by_pid[process.pid] = command
        self._attach_outputs(command)

    def _directory(self, wanted):
        """Where a command starts. Raises StartFailed when that is no directory."""
        if wanted is None:
            return self._home if os.path.isdir(self._home) else "/"
        try:
            return directory_at(wanted, self._home)
        except NoDirectory as failure:
            raise StartFailed(str(failure), NOT_EXECUTABLE) from None

    def _attach_outputs(self, command):
        for fd in command.process.outputs:
            self._loop.watch(fd, lambda fd, c=command: self._read(c, fd))
        if command.process.stdin is not None:
            command.stdin = Stdin(command.process.stdin, command.process.terminal)
            if command.input is not None:
                (data, end), command.input = command.input, None
                command.stdin.write(b"", data, end, lambda: None)
                self._flush_stdin(command)
                if end and command.process.terminal:
                    self._loop.after(END_AGAIN_S, lambda: self._end_again(command, END_AGAIN_S))
        self.wake(command)

    # --- output --------------------------------------------------------------------------------

    def _read(self, command, fd):
        before = sum(log.size for _, log in command.logs)
        at_end = not command.readable(fd)
        if command.process.terminal:
            command.process.hung_up = at_end
        if at_end:
            self._at_end(command, fd)
        self._retention.took_in(sum(log.size for _, log in command.logs) - before)
        self.wake(command)
        if not command.wants_input():
            # Held back: with nobody reading the pipe, the command blocks in write(2).
            for output in command.process.outputs:
                self._loop.unwatch(output)

    def resume(self, command):
        """A reader has got on, or gone: perhaps the command need not be held back any more."""
        if command.process is None or command.finished or not command.wants_input():
            return
        for fd in command.process.outputs:
            if not self._loop.is_watched(fd):
                self._loop.watch(fd, lambda fd, c=command: self._read(c, fd))

    def _at_end(self, command, fd):
        """Nobody holds the other end: of a pipe for good, of a terminal for now.

        A program may close its terminal before it exits, as all of coreutils do, or open it again
        by /dev/tty. Closed by us, the terminal would hang up on it (tty_ioctl(4), SIGHUP).
        """
        if not command.process.terminal:
            self._close_output(command, fd)
            return
        self._loop.unwatch(fd)
        self._loop.after(LOOK_AGAIN_S, lambda: self.resume(command))

    def _close_output(self, command, fd):
        self._loop.unwatch(fd)
        if command.process.outputs.pop(fd, None) is None:
            return
        if command.process.terminal:
            command.process.stdin = None
            if command.stdin is not None:
                command.stdin.abandon()
        os.close(fd)

    @staticmethod
    def wake(command):
        """Its readers may have something to send."""
        for reader in command.readers:
            reader.link.wake(reader)

    # --- the end -------------------------------------------------------------------------------

    def _reap(self, wakeup):
        """Collect every child that has exited (SIGCHLD may stand for several)."""
        try:
            while wakeup.recv(4096):
                pass
        except OSError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                return
            if pid == 0:
                return
            command = self._by_pid.pop(pid, None)
            if command is None:
                if not self._lingering.reaped(pid):
                    self._sessions.reaped(pid, status)
            elif command.process.terminal and not command.process.hung_up:
                self._drain_terminal(command, status, int(TERMINAL_DRAIN_S / 0.01))
            else:
                command.exited(status)
                self._finish(command)

    def _drain_terminal(self, command, status, tries):
        """A terminal hands on what was written to it with a delay; its end shows as EIO."""
        if not command.process.hung_up and tries > 0:
            self._loop.after(0.01, lambda: self._drain_terminal(command, status, tries - 1))
            return
        command.exited(status)
        self._finish(command)

    def _finish(self, command):
        self.running -= command.counts
        self._retention.finished(command)
        self._end_stdin(command)
        self.wake(command)
        if command.process is not None:
            self._linger(command)
            command.process = command.stdin = None
        if self.running == 0:
            self._on_quiet()

    def _linger(self, command):
        """Give up its outputs: children in the background may still hold the pipes."""
        for fd in list(command.process.outputs):
            if command.process.terminal:
                self._close_output(command, fd)
            else:
                self._loop.unwatch(fd)
                del command.process.outputs[fd]
                self._lingering.adopt(fd)

    # --- signals and input ---------------------------------------------------------------------

    def send_signal(self, command, number):
        """Send a signal to the command's whole process tree; how many processes got it."""
        if command.session is not None and not command.finished:
            return self._sessions.send_signal(command, number)
        if command.pid is None or command.finished:
            return 0
        if number == signal.SIGKILL or proctree.ends_by(command.pid, number):
            command.fatal_signal = number
        return self._signal_tree(command, command.pid, number)

    def _signal_tree(self, command, root, number):
        def look():
            return proctree.members(root, command.mark, self._alone_since(command))

        if number == signal.SIGKILL:
            return proctree.kill_all(look, root)
        return proctree.send(look(), number, root)

    def _time_out(self, command):
        if command.finished:
            return
        command.timed_out = True
        if command.session is not None:
            self._sessions.time_out(command, self._limits.kill_grace_s)
            return
        self._end_tree(command, signal.SIGTERM)
        self._loop.after(self._limits.kill_grace_s, lambda: self._end_tree(command, signal.SIGKILL))

    def _end_tree(self, command, number):
        """Signal the tree, of which TERM's survivors may live on when the command itself ended.

        Its pid may have been given to another process then.
        """
        self._signal_tree(command, None if command.finished else command.pid, number)

    def _alone_since(self, command):
        """Since when unmarked orphans can only be this command's, or None when others run."""
        others = self.running - (not command.finished and command.counts)
        if others:
            return None
        if command.start_ticks is None and not command.finished:
            command.start_ticks = proctree.start_ticks(command.pid)
        return command.start_ticks

    def resize(self, command, cols, rows):
        """Tell the command's terminal its size. False when it has none."""
        if command.process is None or not command.process.terminal or command.finished:
            return False
        for fd in command.process.outputs:
            set_window_size(fd, cols, rows)
        return True

    def resize_to(self, command, tty):
        """A new viewer brings a size of its own; a finished command has none any more."""
        if tty:
            self.resize(command, tty["cols"], tty["rows"])

    def write_stdin(self, command, write_id, data, end, accepted):
        """Write to the command's stdin; see `Stdin.write`. Raises StdinClosed."""
        if command.stdin is None or command.finished:
            raise StdinClosed()
        command.stdin.write(write_id, data, end, accepted)
        self._flush_stdin(command)

    def _flush_stdin(self, command):
        stdin = command.stdin
        if stdin is None or stdin.fd is None:
            return
        if not stdin.flush() or stdin.at_end:
            self._end_stdin(command)
        elif not command.process.terminal:
            watched = self._loop.is_watched(stdin.fd)
            if stdin.wants_to_write and not watched:
                self._loop.watch(stdin.fd, lambda fd: self._flush_stdin(command), WRITE)
            elif watched and not stdin.wants_to_write:
                self._loop.unwatch(stdin.fd)
        elif stdin.wants_to_write and not stdin.retrying:
            # The terminal's descriptor is being watched for its output: try again soon.
            stdin.retrying = True
            self._loop.after(0.01, lambda: self._retry_stdin(command))

    def _retry_stdin(self, command):
        if command.stdin is not None:
            command.stdin.retrying = False
            self._flush_stdin(command)

    def _end_again(self, command, pause_s):
        """A pipe at its end stays there; a terminal tells one reader only. So the next one that
        waits is told again."""
        stdin = command.stdin
        if command.finished or stdin is None or stdin.fd is None:
            return
        if not stdin.wants_to_write and not terminal_has_input(stdin.fd):
            stdin.end_again()
            self._flush_stdin(command)
            pause_s = min(2 * pause_s, END_AGAIN_MOST_S)
        self._loop.after(pause_s, lambda: self._end_again(command, pause_s))

    def _end_stdin(self, command):
        stdin = command.stdin
        if stdin is None or stdin.fd is None:
            return
        fd = stdin.fd
        stdin.abandon()
        if not command.process.terminal:
            self._loop.unwatch(fd)
            os.close(fd)


def _child_signals():
    """A socket that becomes readable when a child exits."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reading
