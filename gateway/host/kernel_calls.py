"""Calls into the kernel that may take long, off gevent's hub and in bounded time."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent.event import AsyncResult

Result = TypeVar("Result")

LIMIT_S = 15.0
"""How long the kernel may take to bind, mount, unmount or trim before a client is told so."""


def in_thread(
    work: Callable[[], Result],
    undo: Callable[[Result], None] | None = None,
    *,
    even_late: bool = False,
) -> Result:
    """Do `work` in a thread of gevent's pool, while the calling greenlet waits.

    If the caller has timed out or was killed meanwhile, `undo` is given the result, in a thread
    too. Work that no thread had begun by then is not begun, for the device that it names may belong
    to another sandbox by now; `even_late` begins it nevertheless.

    Raises OSError, also when there is no answer in `LIMIT_S` seconds.
    """
    is_given_up = False

    def attempt() -> Result | OSError:
        if is_given_up and not even_late:
            return OSError(errno.ECANCELED, "nobody waits for it any more")
        # The error is handed over, for gevent prints what is raised in a thread of its pools.
        try:
            return work()
        except OSError as error:
            return error

    silence = OSError(errno.ETIMEDOUT, f"no answer within {LIMIT_S:g} s")
    with gevent.Timeout(LIMIT_S, silence):
        under_way = gevent.get_hub().threadpool.spawn(attempt)
        try:
            result: Result | OSError = under_way.get()
        except BaseException:
            is_given_up = True
            if undo is not None:
                gevent.spawn(_undo, under_way, undo)
            raise
    if isinstance(result, OSError):
        raise result
    return result


def _undo(under_way: AsyncResult[Result | OSError], undo: Callable[[Result], None]) -> None:
    result = under_way.get()
    if not isinstance(result, OSError):
        gevent.get_hub().threadpool.spawn(undo, result)
