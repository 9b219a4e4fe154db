"""Signals for what a session runs: what was to end ends, and its shell lives where it can.

A shell goes on to the next step when a child of its dies of a signal. Only SIGINT makes an
interactive bash give up the whole command: when it comes while bash runs something itself, or
together with the death of the child that it waits for by SIGINT. So a process that does not handle
signals gets SIGINT in the place of the signal that would kill it as well: nobody sees a difference
but its shell, which comes back to its next line. While it is decided who gets what, the shell is
stopped, or it would start the next step meanwhile.

A child that bash has forked, and that is not yet what it will be, has bash's own handlers: it
ignores QUIT and TERM, and may lose INT. Nothing is sent until it has settled.
"""

import signal

from ..processes import proctree
from . import session_processes

INT, KILL, TERM = signal.SIGINT, signal.SIGKILL, signal.SIGTERM

IGNORED_BY_DEFAULT = {
    signal.SIGCHLD,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGCONT,
}

STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

ENDS_A_LOOP = {TERM, signal.SIGHUP, signal.SIGQUIT}
"""What ends a command in which the shell itself is all that runs. Others are the shell's own."""


def is_fatal(number):
    """Whether a signal ends a process that does not handle it (signal(7))."""
    return number not in IGNORED_BY_DEFAULT and number not in STOPPING


class Plan:
    """Who gets which signal: `signals` is pairs of (pid, number), the shell's last."""

    def __init__(self, signals, ends=False, again=None):
        self.signals = signals
        self.ends = ends
        """Whether the command is to end by this, whatever its shell makes of it."""
        self.again = again
        """Processes after whose end it is to be looked whether the shell went on, or None."""


def plan(number, shell, processes):
    """A Plan for a fatal signal to a command; `shell` and `processes` are `Seen`."""
    direct = [seen for seen in processes if seen.parent == shell.pid]
    in_front = [seen for seen in direct if not seen.ignores(INT)]  # unlike those after a `&`
    same = [(seen.pid, number) for seen in processes]
    if number == INT:
        # A child that has just ended, and bash still waits for it: then the signal is lost, and
        # is sent again. What handles it itself may go on.
        dies = all(seen.leaves_to_default(INT) for seen in in_front)
        return Plan([*same, (shell.pid, INT)], again=in_front if dies else None)
    if number == TERM and shell.catches(TERM):  # an interactive bash ignores it without a trap
        return Plan([*same, (shell.pid, TERM)])
    plain = [
        seen
        for seen in in_front
        if seen.leaves_to_default(INT) and (number == KILL or seen.leaves_to_default(number))
    ]
    signals = [(seen.pid, INT if seen in plain else number) for seen in processes]
    if number == KILL:
        survives = not shell.ignores(INT) and (not direct or 0 < len(plain) == len(in_front))
        return Plan([*signals, (shell.pid, INT if survives else KILL)], True, in_front)
    if plain or (not in_front and number in ENDS_A_LOOP):
        return Plan([*signals, (shell.pid, INT)], True, in_front)
    if not processes:
        return Plan([(shell.pid, number)])
    return Plan(signals, number == TERM, in_front if number == TERM else None)


def unsettled(shell, processes):
    """Those of some `Seen` that the shell has just forked, or that may be so.

    A part of a pipeline that bash runs itself (`f | g`) keeps these handlers: it cannot be told
    from one that is about to become a program, until it has a child.
    """
    parents = {seen.parent for seen in processes}
    return [
        seen
        for seen in processes
        if seen.parent == shell.pid and seen.pid not in parents and seen.catches_what(shell)
    ]


def last_first(shell, processes):
    """Some `Seen`, the shell's children before all others, the end of a pipeline before its start.

    Hit later it would come to the end of its input, and exit with 0 before it is hit itself: bash
    goes by the last process of a pipeline, and would get on to the next step.
    """
    direct = [seen for seen in processes if seen.parent == shell.pid]
    return direct[::-1] + [seen for seen in processes if seen.parent != shell.pid]


def carry_out(number, session, at_once):
    """Send a fatal signal to what a session's current command runs. A Plan, and the processes.

    Without `at_once` nothing is sent, and the Plan is None, while a process is unsettled.
    """
    session_processes.freeze(session.pid)
    try:
        processes = session_processes.of_command(session.pid, session.mark, session.since)
        shell = session_processes.look_at(session.pid)
        if shell is None:
            return Plan([]), processes
        if session.runs_another_program() or not session.begun:
            chosen = Plan([(seen.pid, number) for seen in processes] + [(session.pid, number)])
        elif not at_once and unsettled(shell, processes):
            return None, processes
        else:
            chosen = plan(number, shell, last_first(shell, processes))
        for pid, sent in chosen.signals:
            proctree.send({pid}, sent)
        return chosen, processes
    finally:
        proctree.send({session.pid}, signal.SIGCONT)


def pass_on(number, session):
    """Send a signal that ends nobody, to what the shell runs or else to the shell. How many."""
    processes = session_processes.of_command(session.pid, session.mark, session.since)
    pids = {seen.pid for seen in processes}
    if number == signal.SIGCONT:
        pids.add(session.pid)
    return proctree.send(pids or {session.pid}, number)
