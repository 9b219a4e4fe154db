"""Signals of the agent itself, and of what it starts (signal(7))."""

import signal

_LEFT_ALONE = ("SIGKILL", "SIGSTOP", "SIGCONT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")

ENDING = frozenset(
    number
    for number in range(1, signal.NSIG)
    if number
    not in [
        getattr(signal, name, None)
        for name in (
            *("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH"),
            *("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"),
        )
    ]
)
"""Those that end a process which does nothing about them."""


def catch_all():
    """Survive what can be survived, and ignore nothing.

    What is ignored or blocked stays so in every program that is started, and a shell cannot trap
    it any more (execve(2), POSIX trap); what is caught is the default again.
    """
    left_alone = [getattr(signal, name) for name in _LEFT_ALONE]
    for number in range(1, signal.NSIG):
        if number not in left_alone:
            try:
                signal.signal(number, _nothing)
            except (OSError, ValueError):
                continue  # the C library's own
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _nothing(number, frame):
    pass
