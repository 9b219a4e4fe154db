"""A stateful shell: one bash that runs the commands of one session, one after the other.

Bash reads lines from a pipe. For each command it gets an `eval`, whose stdout, stderr and stdin
are that command's alone: bash opens the agent's ends of the command's pipes by their addresses in
/proc (/proc/pid/fd, proc(5)). So output never mixes, and a background child of an earlier command
keeps an earlier pipe. The `eval` runs in the shell itself, so directory, variables, functions and
traps stay. After it, bash writes the exit status to another pipe.
"""

import os
import shlex
from collections import deque

from . import frames
from .process import MARKER, Process, with_script
from .stdin import Stdin

SHELL = "/bin/bash"

_SETUP = b"__sandbox_status() { return $1; }\n"
"""Gives `$?` of the last command to the next one, without a fork."""


class Session:
    """One shell, the command it runs and those that wait for it.

    The loop that owns it watches `status` for reading and `script` for writing.
    """

    def __init__(self, name, environment, directory):
        """Start the shell. Raises StartFailed."""
        self.name = name
        self.mark = "session-" + os.urandom(8).hex()
        self.current = None
        self.begun = False
        """Whether the shell has read the current command."""
        self.waiting = deque()
        self._lent = []
        self._last_status = 0
        self._received = b""
        self._line_start = ("%s " % self.mark).encode("ascii")
        self.status, status_end = os.pipe()
        os.set_blocking(self.status, False)
        self._status_end = status_end
        try:
            self.pid, script = with_script(
                [SHELL, "--noprofile", "--norc"],
                dict(environment, **{MARKER: self.mark}),
                directory,
                (status_end,),
            )
        except Exception:
            os.close(self.status)
            raise
        finally:
            os.close(status_end)
        os.set_blocking(script, False)
        self.script = Stdin(script, terminal=False)
        self._say(_SETUP)

    def begin(self, command, directory, environment, with_stdin):
        """Let the shell run a command, which becomes `current`.

        `directory` and `environment`, when given, change the shell as `cd` and `export` do.
        """
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe()
        read_in, write_in = os.pipe() if with_stdin else (None, None)
        self._lent = [fd for fd in (write_out, write_err, read_in) if fd is not None]
        here = "/proc/%d/fd/" % os.getpid()
        streams = ">%s%d 2>%s%d <%s" % (
            here,
            write_out,
            here,
            write_err,
            "/dev/null" if read_in is None else "%s%d" % (here, read_in),
        )
        steps = [] if directory is None else ["cd -- " + shlex.quote(directory)]
        steps += [
            "export %s=%s" % (name, shlex.quote(value)) for name, value in environment.items()
        ]
        steps = ["eval %s %s" % (shlex.quote(step), streams) for step in steps]
        steps.append(
            "{ __sandbox_status %d; eval %s %s; }"
            % (self._last_status, shlex.quote(command.text), streams)
        )
        # Parsed in a subshell first: bash 5.2 does not recover from an unfinished quote or `$(` in
        # an eval, and the line after it would be misread.
        check = "( shopt -s extglob; eval %s ) %s >/dev/null" % (
            shlex.quote("set -n\n" + command.text),
            streams,
        )
        line = "%s; if %s; then %s; else __sandbox_status 2; fi; %s\n" % (
            self._report("begin"),
            check,
            " && ".join(steps),
            self._report("$?"),
        )
        self._say(line.encode("utf-8"))
        outputs = {read_out: frames.STDOUT, read_err: frames.STDERR}
        command.mark = self.mark
        command.began(Process(self.pid, outputs, write_in))
        self.current = command
        self.begun = False

    def _report(self, word):
        """What bash is to do to write `word` to the status pipe."""
        return "printf '%s %%s\\n' %s >&%d" % (self.mark, word, self._status_end)

    def _say(self, line):
        self.script.write(os.urandom(8), line, False, lambda: None)

    def finished_status(self):
        """The exit status of the current command, or None while bash has not written it."""
        try:
            self._received += os.read(self.status, 4096)
        except OSError:
            return None
        while b"\n" in self._received:
            line, self._received = self._received.split(b"\n", 1)
            status = line[len(self._line_start) :]
            # Anything else was written to the pipe by something in the session.
            if not line.startswith(self._line_start):
                continue
            if status == b"begin":
                self.begun = True
            elif status.isdigit():
                self._last_status = int(status)
                return self._last_status
        self._received = self._received[-256:]
        return None

    def release(self):
        """The current command has ended: close our ends of its pipes. It, or None."""
        for fd in self._lent:
            os.close(fd)
        self._lent = []
        command, self.current = self.current, None
        return command

    def close(self):
        """The shell has ended: free its descriptors."""
        os.close(self.status)
        if self.script.fd is not None:
            os.close(self.script.fd)
            self.script.abandon()
