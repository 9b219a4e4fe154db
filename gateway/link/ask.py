"""Ask the agent for something on a channel of its own, and wait for the answer."""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult

from gateway.agent import frames
from gateway.errors import LinkLost
from gateway.link.link import Link
from gateway.link.refusals import refusal


class _Question:
    """A channel that ends with its first event."""

    def __init__(self) -> None:
        self.answer: AsyncResult = AsyncResult()

    def on_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "refused":
            self.answer.set_exception(refusal(event))
        else:
            self.answer.set(event)

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        raise frames.FrameError("output on a channel without any")

    def on_lost(self) -> None:
        self.answer.set_exception(LinkLost("the link broke before the agent answered"))


def ask(link: Link, operation: str, **arguments: Any) -> dict[str, Any]:
    """The event that answers an operation. Blocks.

    Raises LinkLost, or what the agent refused the operation for (`gateway.link.refusals`).
    """
    question = _Question()
    number = link.open(question, {"op": operation, **arguments})
    try:
        event: dict[str, Any] = question.answer.get()
        link.forget(number)
        return event
    finally:
        if not question.answer.ready():
            link.cancel(number)


def running_commands(link: Link) -> int:
    """How many commands run in the sandbox, as the agent says."""
    count = ask(link, "running").get("running")
    return count if isinstance(count, int) else 0


def wait_until_quiet(link: Link) -> None:
    """Block until no command runs in the sandbox. Raises LinkLost."""
    ask(link, "quiet")
