"""What the metrics are told of a command: once, however it ends."""

from __future__ import annotations

import time
from types import TracebackType

from gevent.event import Event

from gateway.errors import ClientFault, GatewayError
from gateway.link.exited import Exited
from gateway.metrics import Metrics, Outcome


class CommandMetrics:
    """Made when a command is taken on, entered while it is waited for.

    `handed_over` is set when somebody was asked to start it. One that never came so far, or was
    refused, is not counted: it did not run.
    """

    def __init__(self, metrics: Metrics, handed_over: Event) -> None:
        self._metrics = metrics
        self._handed_over = handed_over
        self._begun = time.monotonic()
        self._is_counted = False

    def ended(self, exited: Exited, received: int) -> None:
        """Its end is known, and so many bytes of its output have come. How much it wrote in all is
        only the sandbox's word: it counts nowhere."""
        if not self._is_counted:
            self._is_counted = True
            seconds = time.monotonic() - self._begun
            self._metrics.command_ended(outcome_of(exited), seconds, received)

    def __enter__(self) -> CommandMetrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._is_counted or not self._handed_over.is_set() or isinstance(error, ClientFault):
            return
        self._is_counted = True
        self._metrics.command_went_on("lost" if isinstance(error, GatewayError) else "unseen")


def outcome_of(exited: Exited) -> Outcome:
    """The word under which an end is counted."""
    if exited.timed_out:
        return "timed_out"
    return "ok" if exited.returncode == 0 else "nonzero"
