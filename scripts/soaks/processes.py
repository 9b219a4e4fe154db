"""Load generators in processes of their own: what they take is not the gateway's."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("spawn")

STOP_S = 10.0

_AUTOGROUP = Path("/proc/self/autogroup")


@contextmanager
def running(
    work: Callable[..., None], *arguments: Any, idle: bool = False
) -> Iterator[BaseProcess]:
    """Run `work(*arguments)` in a process until the end of the block.

    An `idle` one only gets the CPU time that nobody else wants (SCHED_IDLE, sched(7)): attackers
    have machines of their own, and the time that theirs take here is not what is measured. Where
    sessions are scheduled as groups, it has a group of its own with the least weight.
    """
    process = _CONTEXT.Process(target=_work, args=(work, arguments, idle), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(STOP_S)
        if process.is_alive():
            process.kill()
            process.join()


def pipe() -> tuple[Any, Any]:
    """The receiving and the sending end, to be passed to a process."""
    return _CONTEXT.Pipe(duplex=False)


def _work(work: Callable[..., None], arguments: tuple[Any, ...], idle: bool) -> None:
    # Ctrl-C is for the process that measures: it ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if idle:
        os.setsid()
        if _AUTOGROUP.exists():
            _AUTOGROUP.write_text("19")
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    work(*arguments)
