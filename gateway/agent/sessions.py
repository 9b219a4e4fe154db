"""All sessions: which shell runs which command, and what happens when a shell ends."""

import os

from .loop import WRITE
from .process import NOT_EXECUTABLE, NOT_FOUND, StartFailed
from .session import SHELL, Session


class Sessions:
    """Runs the commands of each session one after the other, in a shell of its own.

    `attach(command)` is called when a command has begun, `finished(command)` when it has ended.
    """

    def __init__(self, loop, attach, finished):
        self._loop = loop
        self._attach = attach
        self._finished = finished
        self._by_name = {}
        self._by_pid = {}

    def run(self, command, request, environment, directory):
        """Run a command in its session, now or when those before it have ended.

        `request` is (directory to change to or None, environment to export, whether it has
        stdin). `environment` and `directory` are what a new shell starts with.

        Raises StartFailed when a new shell is needed and cannot be started.
        """
        session = self._by_name.get(command.session)
        if session is None:
            session = self._open(command.session, environment, directory)
        session.waiting.append((command, request, environment, directory))
        self._next(session)

    def cancel(self, command):
        """Take a command that waits out of its session's queue."""
        session = self._by_name.get(command.session)
        if session is not None:
            for entry in list(session.waiting):
                if entry[0] is command:
                    session.waiting.remove(entry)

    def _open(self, name, environment, directory):
        if not os.path.exists(SHELL):
            raise StartFailed("sessions need " + SHELL, NOT_FOUND)
        session = Session(name, environment, directory)
        self._by_name[name] = self._by_pid[session.pid] = session
        self._loop.watch(session.status, lambda fd: self._look(session))
        self._flush(session)
        return session

    def _next(self, session):
        if session.current is None and session.waiting:
            command, request, _environment, _directory = session.waiting.popleft()
            session.begin(command, *request)
            self._attach(command)
            self._flush(session)

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

    def _look(self, session):
        """Bash may have written that the current command has ended."""
        status = session.finished_status()
        if status is None or session.current is None:
            return
        command = session.release()
        command.ended(status)
        self._finished(command)
        self._next(session)

    def reaped(self, pid, status):
        """A child that is no plain command has exited: perhaps a session's shell."""
        session = self._by_pid.pop(pid, None)
        if session is None:
            return
        del self._by_name[session.name]
        self._look_once_more(session)
        self._loop.unwatch(session.status)
        if session.script.fd is not None:
            self._loop.unwatch(session.script.fd)
        command = session.release()
        session.close()
        if command is not None:
            command.session_ended = True
            if session.begun:
                command.exited(status)
            else:
                command.failed("its session's shell had ended", NOT_EXECUTABLE)
            self._finished(command)
        self._start_anew(session.waiting)

    def _look_once_more(self, session):
        """The last command may have ended properly, and the shell after it."""
        last = session.finished_status()
        if last is not None and session.current is not None:
            command = session.release()
            command.session_ended = True
            command.ended(last)
            self._finished(command)

    def _start_anew(self, waiting):
        """Commands that waited for a shell that ended get a new one."""
        for command, request, environment, directory in waiting:
            try:
                self.run(command, request, environment, directory)
            except StartFailed as failure:
                command.failed(str(failure), failure.returncode)
                self._finished(command)
