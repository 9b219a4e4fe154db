"""The log of what gunicorn refuses: anybody can cause it, so it is bounded and escaped."""

from __future__ import annotations

from typing import Any

from gateway.logs.line_budget import LineBudget

LONGEST_LINE = 300
"""Characters."""


class RefusalLog:
    """Stands in for gunicorn's logger where it says why it refuses a request."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._budget = LineBudget()

    def warning(self, message: str, *arguments: object) -> None:
        """A request that the client got wrong."""
        also = self._budget.take()
        if also is not None:
            self._log.warning("%s", _shown(message, arguments) + also)

    def exception(self, message: str, *arguments: object) -> None:
        """A request that the gateway got wrong, with the traceback."""
        also = self._budget.take()
        if also is not None:
            self._log.exception("%s", _shown(message, arguments) + also)

    def debug(self, message: str, *arguments: object) -> None:
        self._log.debug(message, *arguments)

    def access(self, *details: object) -> None:
        self._log.access(*details)


def _shown(message: str, arguments: tuple[object, ...]) -> str:
    """In one line of printable ASCII, cut."""
    text = message % arguments if arguments else message
    plain = text[:LONGEST_LINE].encode("unicode_escape").decode("ascii")
    return plain if len(text) <= LONGEST_LINE else f"{plain}…"
