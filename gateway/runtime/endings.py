"""In which order the parts of a worker process end."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Protocol, TypeVar

from gevent.lock import RLock

log = logging.getLogger(__name__)


class Closeable(Protocol):
    """A part that has an end."""

    def close(self) -> None:
        """May be repeated."""


Part = TypeVar("Part", bound=Closeable)


class Phase:
    """One phase of the end: what was built last is closed first, since it may use what was there
    before it. That one cannot be closed keeps none of the others from it."""

    def __init__(self) -> None:
        self._parts = ExitStack()
        self._turn = RLock()

    def add(self, part: Part) -> Part:
        """Close `part` in this phase."""
        self._parts.callback(_close, part)
        return part

    def close(self) -> None:
        """Close all. Whoever calls it meanwhile waits until that is done; later calls do nothing.

        Raises what the last part that could not be closed has raised. What each of them has raised
        is logged: ExitStack forgets all but the last.
        """
        with self._turn:
            self._parts.close()


def _close(part: Closeable) -> None:
    try:
        part.close()
    except BaseException:
        log.exception("cannot close %s", type(part).__name__)
        raise


class Endings:
    """The two phases. `closing`: clients get a close frame or an answer, and nothing new begins.
    `releasing`: when all handlers have returned, what they used is freed."""

    def __init__(self) -> None:
        self.closing = Phase()
        self.releasing = Phase()
