"""How many lines of the log others can cause.

Each request that fails, each agent that breaks the protocol and each message on a WebSocket may be
a line. Clients and sandboxes can cause any number of those, so they are bounded where they begin;
what is left out is counted, and the next line says how much that was.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict

LINES_PER_S = 5.0
"""Of each module's lines of one level, in each worker, and as many at once."""


class LineBudget:
    """Of one module's lines of one level: the many that are expected hide none that is not."""

    def __init__(self) -> None:
        self._left = LINES_PER_S
        self._at = time.monotonic()
        self._left_out = 0

    def take(self) -> str | None:
        """What to say at the end of the line that is due now; None: it is left out."""
        now = time.monotonic()
        self._left = min(LINES_PER_S, self._left + (now - self._at) * LINES_PER_S)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return None
        self._left -= 1
        left_out, self._left_out = self._left_out, 0
        return f" (and {left_out} more like it)" if left_out else ""


class _Bound(logging.Filter):
    """Lets as many records of a logger through."""

    def __init__(self) -> None:
        super().__init__()
        self._budgets: defaultdict[int, LineBudget] = defaultdict(LineBudget)

    def filter(self, record: logging.LogRecord) -> bool:
        also = self._budgets[record.levelno].take()
        if also:
            record.msg, record.args = record.getMessage() + also, ()
        return also is not None


def bounded_log(name: str) -> logging.Logger:
    """The logger of a module whose lines others can cause, for the module's own use."""
    log = logging.getLogger(name)
    if not any(isinstance(one, _Bound) for one in log.filters):
        log.addFilter(_Bound())
    return log
