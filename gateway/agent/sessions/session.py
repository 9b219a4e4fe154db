"""A stateful shell: one bash that runs the commands of one session, one after the other.

Bash reads its lines from a pipe (`session_script` has them). Each command's stdout, stderr and
stdin are its own (`session_streams`). Where the user has sent stdout or stderr elsewhere
(`exec >file`), they stay there.
"""

import os
from collections import deque

from ..processes.output import bytes_in_pipe
from ..processes.process import MARKER, Process, with_script
from ..processes.stdin import Stdin
from . import session_processes, session_script
from .session_streams import SessionStreams

SHELL = "/bin/bash"

# Interactive, or SIGINT would end it; nothing of readline, which wants a terminal.
ARGV = [SHELL, "--noprofile", "--norc", "--noediting", "-i"]

READS_AT_A_TIME = 16

STRAY_BYTES = 64 * 1024
"""What is kept of what the shell wrote outside of commands: its last words are an EXIT trap's."""

CANNOT_TELL = "its shell can no longer tell how a command ended"
NOT_TAKEN = "its shell no longer takes commands"
RESTRICTED = "its shell is restricted now (set -r) and can take no further command"


class Rest:
    """The shell is done with its command. `status` is a shell's, `lost` why it takes no more."""

    def __init__(self, status, lost=None):
        self.status = status
        self.lost = lost


class Session:
    """One shell, the command it runs and those that wait for it.

    The loop that owns it watches `status` and `stray` for reading and `script` for writing.
    """

    def __init__(self, name, environment, directory):
        """Start the shell. Raises StartFailed, or OSError when there is no descriptor left."""
        self.name = name
        self.mark = "session-" + os.urandom(8).hex()
        self.current = None
        self.begun = False
        """Whether the shell has come to the current command."""
        self.waiting = deque()
        self.number = 0
        """Of the current command, in this session."""
        self.since = None
        """The Moment at which the current command began."""
        self.watched_over = False
        self.stopped_on_purpose = False
        """Whether a client has stopped the current command (SIGSTOP)."""
        self.concluded_last = False
        """Whether the end of the shell has been told with its last command."""
        self._last_status = 0
        self._program = None
        self._posix = False
        self._errexit = False
        self._begun = session_script.begun_pattern(self.mark)
        self._rest = session_script.rest_pattern(self.mark)
        self._received = b""
        self._stray = b""
        self.status, status_end = os.pipe()
        try:
            self.stray, stray_end = os.pipe()
        except OSError:
            os.close(self.status)
            os.close(status_end)
            raise
        os.set_blocking(self.status, False)
        os.set_blocking(self.stray, False)
        try:
            self.pid, script = with_script(
                ARGV, dict(environment, **{MARKER: self.mark}), directory, stray_end, status_end
            )
        except Exception:
            os.close(self.status)
            os.close(self.stray)
            raise
        finally:
            os.close(status_end)
            os.close(stray_end)
        self._script_inode = os.fstat(script).st_ino
        os.set_blocking(script, False)
        self._streams = SessionStreams(self.pid)
        self.script = Stdin(script, terminal=False)
        self._say(session_script.SETUP)

    def begin(self, command, directory, environment, with_stdin):
        """Let the shell run a command, which becomes `current`.

        `directory` (absolute) and `environment`, when given, change the shell as `cd` and `export`
        do. Raises OSError when there is no descriptor left.
        """
        outputs, write_in, stdin = self._streams.lend(with_stdin)
        self.number += 1
        wanted = session_script.Wanted(
            self.number,
            command.text,
            stdin,
            self._streams.paths(),
            self._streams.put_back(),
            self._posix,
            self._last_status,
            self._errexit,
        )
        wanted.directory = directory
        wanted.environment = environment
        self.look_after_stray()
        self._stray = b""
        self.since = session_processes.Moment()
        self.stopped_on_purpose = False
        self._say(session_script.lines(self.mark, wanted))
        command.mark = self.mark
        command.began(Process(self.pid, outputs, write_in))
        self.current = command
        self.begun = False

    def _say(self, line):
        self.script.write(os.urandom(8), line.encode("utf-8"), False, lambda: None)

    def heard(self):
        """What the shell has told since: a Rest when it is done with its command, else None."""
        try:
            self._received += os.read(self.status, 65536)
        except OSError:
            return None
        self.look_after_stray()
        rest = None
        for match in self._rest.finditer(self._received):
            if int(match.group(1)) == self.number:
                rest = match
        if rest is None:
            self._note_begin()
            return None
        self._note_begin(rest.start())
        self._received = self._received[rest.end() :]
        return self._concluded(*(group.decode("utf-8", "replace") for group in rest.groups()[1:]))

    def _note_begin(self, end=None):
        """Look for the news that the command begins; keep what was written after it."""
        for match in self._begun.finditer(self._received, 0, end or len(self._received)):
            if int(match.group(1)) == self.number:
                self.begun = True
                if end is None:
                    self._received = self._received[match.end() :]
                return
        self._received = self._received[-STRAY_BYTES:] if end is None else self._received

    def _concluded(self, told, last_status, flags, posix):
        if self._program is None:
            self._program = session_processes.program(self.pid)
        self._posix = posix == "p"
        self._errexit = "e" in flags
        self._streams.look_where_they_go()
        number, _, status = told.partition("-")
        mine = number == str(self.number)
        if mine and status.isdigit() and int(status) < 256:
            self._last_status = int(status)
            return Rest(self._last_status, RESTRICTED if "r" in flags else None)
        if 128 < int(last_status) < 256:  # interrupted, and back at its next line
            self._last_status = int(last_status)
            return Rest(self._last_status)
        self.begun = mine
        return Rest(None, CANNOT_TELL if mine else NOT_TAKEN)

    def look_after_stray(self):
        """Take what the shell wrote outside of commands, so that it never blocks; keep the last."""
        for _ in range(READS_AT_A_TIME):
            try:
                data = os.read(self.stray, 65536)
            except OSError:
                return
            if not data:
                return
            self._stray = (self._stray + data)[-STRAY_BYTES:]

    def hear_all(self):
        """The last that an ended shell has told: a Rest or None."""
        for _ in range(READS_AT_A_TIME):
            rest = self.heard()
            if rest is not None:
                return rest
        return None

    def runs_another_program(self):
        """Whether the shell has become something else (`exec`)."""
        return self._program is not None and session_processes.program(self.pid) not in (
            self._program,
            None,
        )

    def idle_state(self):
        """Something to compare when the shell does nothing although it has a command, else None.

        It has stopped, or it waits for its next line.
        """
        state = session_processes.state(self.pid)
        if state == "T":
            return (state, None)
        if state != "S" or self.script.wants_to_write or bytes_in_pipe(self.status):
            return None  # it runs, or it has told something that is not read yet
        try:
            reads = os.stat("/proc/%d/fd/0" % self.pid).st_ino
        except OSError:
            return None
        if reads != self._script_inode or bytes_in_pipe(self.script.fd):
            return None
        return (state, session_processes.switches(self.pid))

    def last_words(self):
        """What the shell wrote at its very end, for stdout and stderr: an EXIT trap's words."""
        self.look_after_stray()
        if not self.begun:
            return b"", b""
        return self._stray, self._received

    def release(self):
        """The current command has ended: close our ends of its pipes. It, or None."""
        self._streams.take_back()
        command, self.current = self.current, None
        return command

    def close(self):
        """The shell has ended: free its descriptors."""
        os.close(self.status)
        os.close(self.stray)
        if self.script.fd is not None:
            os.close(self.script.fd)
            self.script.abandon()
