"""All sessions: which shell runs which command, and what happens when a shell ends."""

import os
import signal
from collections import OrderedDict

from ..loop import WRITE
from ..processes import proctree
from ..processes.process import NOT_EXECUTABLE, NOT_FOUND, StartFailed
from .session import NOT_TAKEN, SHELL, Session
from .session_stops import SessionStops

LOOK_EVERY_S = 0.5
"""How often it is looked whether the shell of a running command still does something."""

REMEMBERED_ENDS = 1000

HAD_ENDED = "its session's shell had ended"


class Sessions:
    """Runs the commands of each session one after the other, in a shell of its own.

    `attach(command)` is called when a command has begun, `finished(command)` when it has ended.
    `locate(cwd)` gives a directory's address, or raises StartFailed. `stops` ends commands early.
    """

    def __init__(self, loop, attach, finished, locate):
        self._loop = loop
        self._attach = attach
        self._finished = finished
        self._locate = locate
        self.stops = SessionStops(loop, self._of, self._cancel)
        self._by_name = {}
        self._by_pid = {}
        self._ended = OrderedDict()
        """Names of sessions whose shell ended while nothing ran; it is told once."""

    def run(self, command, request, environment, directory):
        """Run a command in its session, now or when those before it have ended.

        `request` is (directory to change to or None, environment to export, whether it has
        stdin). `environment` and `directory` are what a new shell starts with.

        Raises StartFailed when a new shell is needed and cannot be started, or when no shell could
        take the command.
        """
        if "\0" in command.text or any("\0" in value for value in request[1].values()):
            raise StartFailed("embedded null byte", NOT_EXECUTABLE)
        if self._ended.pop(command.session, False):
            command.session_ended = True
            raise StartFailed(HAD_ENDED, NOT_EXECUTABLE)
        session = self._by_name.get(command.session)
        if session is None:
            session = self._open(command.session, environment, directory)
        session.waiting.append((command, request, environment, directory))
        self._next(session)

    def _cancel(self, command, why, returncode):
        """End a command that waits for its session. False when it does not wait."""
        session = self._by_name.get(command.session)
        for entry in list(session.waiting) if session is not None else ():
            if entry[0] is command:
                session.waiting.remove(entry)
                command.failed(why, returncode)
                self._finished(command)
                return True
        return False

    def _of(self, command):
        """The session in which a command is the current one, or None."""
        session = self._by_pid.get(command.pid)
        return session if session is not None and session.current is command else None

    def _open(self, name, environment, directory):
        if not os.path.exists(SHELL):
            raise StartFailed("sessions need " + SHELL, NOT_FOUND)
        session = Session(name, environment, directory)
        self._by_name[name] = self._by_pid[session.pid] = session
        self._loop.watch(session.status, lambda fd: self._look(session))
        self._loop.watch(session.stray, lambda fd: session.look_after_stray())
        self._flush(session)
        return session

    def _next(self, session):
        while session.current is None and session.waiting:
            command, request, _environment, _directory = session.waiting.popleft()
            directory, environment, with_stdin = request
            try:
                if directory is not None:
                    directory = self._locate(directory)
                session.begin(command, directory, environment, with_stdin)
            except StartFailed as failure:
                command.failed(str(failure), failure.returncode)
            except OSError as error:  # no descriptor left for its pipes
                command.failed(str(error), NOT_EXECUTABLE)
            if command.finished:
                self._finished(command)
                continue
            self._attach(command)
            self._flush(session)
            self._watch_over(session)

    def _flush(self, session):
        script = session.script
        if script.fd is None:
            return
        script.flush()
        watched = self._loop.is_watched(script.fd)
        if script.wants_to_write and not watched:
            self._loop.watch(script.fd, lambda fd: self._flush(session), WRITE)
        elif watched and not script.wants_to_write:
            self._loop.unwatch(script.fd)

    # --- the end of a command ------------------------------------------------------------------

    def _look(self, session):
        """Bash may have told that the current command has ended."""
        rest = session.heard()
        if rest is None or session.current is None:
            return
        if rest.lost is not None:
            self._lose(session, rest.lost, rest.status)
            return
        self._conclude(session, rest.status)
        self._next(session)

    def _conclude(self, session, status, words=(b"", b"")):
        command = session.release()
        # A command that was signalled never looks like a success, however its shell saw it.
        if command.stopped_by is not None and status in (0, 128 + signal.SIGINT):
            status = 128 + command.stopped_by
        command.ended(status, words)
        self._finished(command)

    def _lose(self, session, why, status=None):
        """The shell can take no more commands: end it. `status` is None where it is not known."""
        self._by_name.pop(session.name, None)
        command = session.current
        command.session_ended = True
        if session.begun:
            reason = ("session ended: %s\n" % why).encode("utf-8")
            self._conclude(session, NOT_EXECUTABLE if status is None else status, (b"", reason))
        else:
            session.release()
            command.failed(why, NOT_EXECUTABLE)
            self._finished(command)
        proctree.send({session.pid}, signal.SIGKILL)
        waiting, session.waiting = list(session.waiting), session.waiting.__class__()
        self._start_anew(waiting)

    def reaped(self, pid, status):
        """A child that is no plain command has exited: perhaps a session's shell."""
        session = self._by_pid.pop(pid, None)
        if session is None:
            return
        known = self._by_name.get(session.name) is session
        if known:
            del self._by_name[session.name]
        self._hear_last(session)
        self._loop.unwatch(session.status)
        self._loop.unwatch(session.stray)
        if session.script.fd is not None:
            self._loop.unwatch(session.script.fd)
        if session.current is not None:
            self._ended_with(session, status)
        elif known and not session.concluded_last:
            self._remember_end(session.name)
        session.close()
        self._start_anew(session.waiting)

    def _hear_last(self, session):
        """The last command may have ended properly, and the shell after it."""
        rest = session.hear_all()
        if rest is not None and rest.status is not None and session.current is not None:
            session.current.session_ended = True
            self._conclude(session, rest.status)
            session.concluded_last = True

    def _ended_with(self, session, status):
        """The shell has exited in the middle of its command."""
        command = session.current
        command.session_ended = True
        killed = os.WIFSIGNALED(status)
        returncode = 128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
        if killed and command.stopped_by is not None:
            returncode = 128 + command.stopped_by
        if not session.begun and command.stopped_by is None:
            session.release()
            command.failed(HAD_ENDED, NOT_EXECUTABLE)
            self._finished(command)
            return
        out, err = session.last_words()
        if killed:
            err += b"session ended: its shell was killed by signal %d\n" % os.WTERMSIG(status)
        self._conclude(session, returncode, (out, err))

    def _remember_end(self, name):
        self._ended[name] = True
        while len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    def _start_anew(self, waiting):
        """Commands that waited for a shell that ended get a new one."""
        for command, request, environment, directory in waiting:
            try:
                self.run(command, request, environment, directory)
            except (StartFailed, OSError) as failure:
                command.failed(str(failure), getattr(failure, "returncode", NOT_EXECUTABLE))
                self._finished(command)

    # --- a shell that does nothing -------------------------------------------------------------

    def _watch_over(self, session):
        if not session.watched_over:
            session.watched_over = True
            self._look_after(session, None)

    def _look_after(self, session, before):
        """A shell that waits for its next line, or has stopped itself, hangs: see to it."""
        if session.current is None or self._by_pid.get(session.pid) is not session:
            session.watched_over = False
            return
        now = (session.number, session.idle_state())
        if now[1] is not None and now == before:
            if now[1][0] != "T":
                session.watched_over = False
                self._lose(session, NOT_TAKEN)
                return
            if not session.stopped_on_purpose:
                proctree.send({session.pid}, signal.SIGCONT)
        self._loop.after(LOOK_EVERY_S, lambda: self._look_after(session, now))
