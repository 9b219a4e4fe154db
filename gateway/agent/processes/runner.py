"""Runs commands: starts them, notices their end, and passes on what is done with them meanwhile."""

import os
import signal
import socket

from gateway.protocol import frames

from .. import descriptors, surroundings
from ..sessions.session_script import quoted
from ..sessions.sessions import Sessions
from .command import Command, Start
from .command_input import CommandInput
from .command_output import CommandOutput
from .command_signals import CommandSignals
from .directories import NoDirectory, directory_at
from .lingering import Lingering
from .login import LOGIN_SHELL
from .process import (
    MARKER,
    NOT_EXECUTABLE,
    StartFailed,
    on_pipes,
    on_terminal,
    set_window_size,
    started_by,
    words,
)

TERMINAL_DRAIN_S = 0.2
"""How long a terminal's last output may take to come through after its process has exited."""


class Runner:
    """Owns the processes. `retention` knows the commands, `on_quiet()` is called whenever the
    last running one has ended. `environment` is what the container gives.

    `output`, `input` and `signals` are for what is done with commands while they run.
    """

    def __init__(self, loop, limits, retention, environment, on_quiet):
        self._loop = loop
        self._limits = limits
        self._retention = retention
        self._on_quiet = on_quiet
        self._environment, self._home = surroundings.of_commands(environment)
        self._by_pid = {}
        self._lingering = Lingering(loop)
        self._sessions = Sessions(loop, self._attach, self._finish, self._directory)
        self.output = CommandOutput(loop, retention, self._lingering)
        self.input = CommandInput(loop)
        self.signals = CommandSignals(loop, limits, self._sessions.stops, self._others_run)
        self.running = 0
        loop.watch(_child_signals(), self._reap)

    # --- starting ------------------------------------------------------------------------------

    def start(self, key, message):
        """A new command from the payload of an OPEN; it may have failed at once.

        Raises KeyError, TypeError or ValueError when the payload is not complete.
        """
        argv = message.get("argv")
        if argv is not None and (message.get("session") is not None or not words(argv)):
            raise ValueError("argv has to be words, and has no shell")
        command = Command(
            key,
            str(message["request_id"]),
            # What is shown of words is said by who asks for them, if at all.
            str(message["command"]) if "command" in message else " ".join(map(quoted, argv)),
            message.get("meta"),
            self._limits.head_bytes,
            self._limits.tail_bytes,
            Start(message),
        )
        command.session = message.get("session")
        if message.get("input"):
            command.input = (message.get(frames.BODY, b""), not message.get("interactive"))
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
            self._loop.after(float(message["timeout"]), lambda: self.signals.time_out(command))
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
        with started_by(message.get("argv"), text) as (argv, fds):
            if terminal:
                size = terminal["cols"], terminal["rows"]
                process = on_terminal(argv, full, directory, size[0], size[1], fds)
            else:
                process = on_pipes(argv, full, directory, with_stdin, fds)
        command.began(process)
        self._by_pid[process.pid] = command
        self._attach(command)

    def _directory(self, wanted):
        """Where a command starts. Raises StartFailed when that is no directory."""
        if wanted is None:
            return self._home if os.path.isdir(self._home) else "/"
        try:
            return directory_at(wanted, self._home)
        except NoDirectory as failure:
            raise StartFailed(str(failure), NOT_EXECUTABLE) from None

    def _attach(self, command):
        """It has begun: let its output be read, and write what it was given as input."""
        self._retention.began(command)
        self.output.attach(command)
        self.input.attach(command)
        self.output.wake(command)

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
        self.input.end(command)
        self.output.wake(command)
        if command.process is not None:
            self.output.give_up(command)
            command.process = command.stdin = None
        if self.running == 0:
            self._on_quiet()

    def _others_run(self, command):
        """Whether the sandbox is busy with other commands."""
        return self.running - (not command.finished and command.counts) > 0

    # --- terminals -----------------------------------------------------------------------------

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


def _child_signals():
    """A socket that becomes readable when a child exits."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reading
