"""The log of what gunicorn refuses: anybody can cause it, so it is bounded and escaped."""

from __future__ import annotations

import time
from typing import Any

LINES_PER_S = 5.0
"""Lines per worker, and as many at once; of more there is the number only."""

LONGEST_LINE = 300
"""Characters."""


class RefusalLog:
    """Stands in for gunicorn's logger where it says why it refuses a request."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._left = LINES_PER_S
        self._at = time.monotonic()
        self._unsaid = 0

    def warning(self, message: str, *arguments: object) -> None:
        """A request that the client got wrong."""
        if self._may_say():
            self._log.warning("%s", _shown(message, arguments) + self._also())

    def exception(self, message: str, *arguments: object) -> None:
        """A request that the gateway got wrong, with the traceback."""
        if self._may_say():
            self._log.exception("%s", _shown(message, arguments) + self._also())

    def debug(self, message: str, *arguments: object) -> None:
        self._log.debug(message, *arguments)

    def access(self, *details: object) -> None:
        self._log.access(*details)

    def _may_say(self) -> bool:
        now = time.monotonic()
        self._left = min(LINES_PER_S, self._left + (now - self._at) * LINES_PER_S)
        self._at = now
        if self._left < 1:
            self._unsaid += 1
            return False
        self._left -= 1
        return True

    def _also(self) -> str:
        unsaid, self._unsaid = self._unsaid, 0
        return f" (and {unsaid} more like it)" if unsaid else ""


def _shown(message: str, arguments: tuple[object, ...]) -> str:
    """In one line of printable ASCII, cut."""
    text = message % arguments if arguments else message
    plain = text[:LONGEST_LINE].encode("unicode_escape").decode("ascii")
    return plain if len(text) <= LONGEST_LINE else f"{plain}…"
