"""Ends commands of sessions before they have come to their end by themselves."""

import signal

from ..processes import proctree
from . import session_processes, session_signals

TIMED_OUT = 124

GIVE_UP_S = 1.0
"""How long a killed command may take to come to its end before its shell is killed as well. A shell
that waits for a processor is not one that hangs: with it, the state of its session is lost."""

BEGIN_S = 0.005
BEGIN_TIMES = 400
"""How often it is looked whether a signalled command has begun, before its shell is killed."""

SETTLE_TIMES = 100
"""How often it is looked whether a process that was just forked has settled, each after BEGIN_S."""

AGAIN_S = 0.05
AGAIN_TIMES = 200
SLOWLY_S = 0.5
"""How often it is looked whether a process that handles a signal has gone, and what came next: it
may take all the time it wants, and then the shell must not go on. After so many times, slowly."""

MOST_STEPS = 20
"""How many further steps of a command are ended before its shell is killed; with INT, how often it
is sent again."""


class SessionStops:
    """Carries out signals and timeouts, and sees to it that no further step of a command begins.

    `running_in(command)` gives the session in which it is the current one, or None;
    `cancel(command, why, returncode)` takes one out of the queue and tells whether it was there.
    """

    def __init__(self, loop, running_in, cancel):
        self._loop = loop
        self._of = running_in
        self._cancel = cancel

    def send(self, command, number):
        """Send a signal to what a command runs, or take it out of the queue. How many got it."""
        fatal = session_signals.is_fatal(number)
        if command.pid is None:
            why = "got signal %d before its session was free" % number
            return int(fatal and self._cancel(command, why, 128 + number))
        session = self._of(command)
        if session is None:
            return 0
        session.stopped_on_purpose = number in session_signals.STOPPING
        if not fatal:
            return session_signals.pass_on(number, session)
        if not session.begun:
            return self._send_later(session, command, number, BEGIN_TIMES)
        return self._stop(session, command, number)[0]

    def _send_later(self, session, command, number, times):
        """Wait until the command has begun: a shell that is interrupted while it reads the text of
        a command would take the rest of the text for another one."""
        if self._of(command) is session and not session.begun and times > 0:
            self._loop.after(BEGIN_S, lambda: self._send_later(session, command, number, times - 1))
        elif self._of(command) is session:
            self._stop(session, command, number if session.begun else signal.SIGKILL)
        return 1

    def _stop(self, session, command, number, step=0, looks=SETTLE_TIMES):
        """End the command by a signal, when it can be told who is to get which. How many get it,
        and the processes."""
        plan, processes = session_signals.carry_out(number, session, looks == 0)
        if number == signal.SIGKILL and step == 0 and looks == SETTLE_TIMES:
            command.stopped_by = number
            self._loop.after(GIVE_UP_S, lambda: self._kill_all(session, command))
        if plan is None:
            self._loop.after(
                BEGIN_S, lambda: self._stop_settled(session, command, number, step, looks - 1)
            )
            return 1, processes
        if plan.ends:
            command.stopped_by = number
        if number == signal.SIGKILL and not session.begun:
            self._kill_all(session, command)  # see `_send_later`
        elif plan.again is not None:
            self._loop.after(
                AGAIN_S,
                lambda: self._stop_again(session, command, number, plan.again, AGAIN_TIMES, step),
            )
        return len(plan.signals), processes

    def _stop_settled(self, session, command, number, step, looks):
        if self._of(command) is session:
            self._stop(session, command, number, step, looks)

    def _stop_again(self, session, command, number, processes, times, step):
        """When the processes that got a signal have gone, end what the shell went on to."""
        if self._of(command) is not session:
            return
        if session_processes.still_there(processes) or (
            # A killed command's shell that runs nothing is about to tell its end: INT would cut
            # that off. If it does not tell it, `GIVE_UP_S` ends it.
            number == signal.SIGKILL
            and not session_processes.of_command(session.pid, session.mark, session.since)
        ):
            self._loop.after(
                AGAIN_S if times > 0 else SLOWLY_S,
                lambda: self._stop_again(session, command, number, processes, times - 1, step),
            )
        elif step < MOST_STEPS:
            self._stop(session, command, number, step + 1)
        elif command.stopped_by is not None:
            self._kill_all(session, command)

    def _kill_all(self, session, command):
        """End a command together with its shell, if it runs still."""
        if self._of(command) is session:
            found = session_processes.of_command(session.pid, session.mark, session.since)
            # The shell first: it would get on to the next step when its child dies.
            proctree.send([session.pid] + [seen.pid for seen in found], signal.SIGKILL)

    def time_out(self, command, grace_s):
        """The command's time is up: TERM, and KILL for what is left of it after the grace."""
        if command.pid is None:
            self._cancel(command, "timed out before its session was free", TIMED_OUT)
            return
        session = self._of(command)
        if session is not None:
            number = signal.SIGTERM if session.begun else signal.SIGKILL
            _plan, processes = self._stop(session, command, number)
            self._loop.after(grace_s, lambda: self._end(session, command, processes))

    def _end(self, session, command, processes):
        if self._of(command) is session:
            self._stop(session, command, signal.SIGKILL)
        proctree.send(session_processes.still_there(processes), signal.SIGKILL)
