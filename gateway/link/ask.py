"""Ask the agent for something on a channel of its own, and wait for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult

from gateway.errors import AgentUnavailable, LinkLost
from gateway.link.channel import NOTHING, Channel
from gateway.link.incoming import is_count
from gateway.link.refusals import refusal
from gateway.protocol import frames

if TYPE_CHECKING:
    from gateway.link.link import Link

ANSWER_S = 20.0
"""How long an agent may take to answer what it can answer at once."""

MOST_RUNNING = 2**31


class Question:
    """A channel that ends with its first event."""

    def __init__(self) -> None:
        self.answer: AsyncResult = AsyncResult()

    def on_event(self, event: dict[str, Any]) -> None:
        if self.answer.ready():
            raise frames.FrameError("a second answer to one question")
        if event.get("event") == "refused":
            self.answer.set_exception(refusal(event))
        else:
            self.answer.set(event)

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        raise frames.FrameError("output on a channel without any")

    def on_lost(self, why: LinkLost) -> None:
        if not self.answer.ready():
            self.answer.set_exception(why)


class _Unheard:
    """A channel whose answer nobody waits for."""

    channel: Channel | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        if self.channel is not None:
            self.channel.forget()

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        raise frames.FrameError("output on a channel without any")

    def on_lost(self, why: LinkLost) -> None:
        return


def tell(link: Link, operation: str, **arguments: Any) -> None:
    """Ask for something, and do not wait for the answer: it is dropped. Raises LinkLost."""
    unheard = _Unheard()
    unheard.channel = link.open(unheard, {"op": operation, **arguments}, NOTHING)


def ask(
    link: Link, operation: str, *, within_s: float | None = ANSWER_S, **arguments: Any
) -> dict[str, Any]:
    """The event that answers an operation. Blocks for `within_s`; None is for what depends on
    something else than the agent, and is as long as the caller says.

    Raises LinkLost, AgentUnavailable when no answer comes in time, or what the agent refused the
    operation for (`gateway.link.refusals`).
    """
    question = Question()
    channel = link.open(question, {"op": operation, **arguments}, NOTHING)
    silence = AgentUnavailable(f"the agent did not answer within {within_s} s")
    try:
        with gevent.Timeout(within_s, silence):
            event: dict[str, Any] = question.answer.get()
        return event
    finally:
        if question.answer.ready():
            channel.forget()
        else:
            _close(channel)


def _close(channel: Channel) -> None:
    try:
        channel.cancel()
    except LinkLost:
        pass  # then nobody is asked any more


def running_commands(link: Link) -> int:
    """How many commands run in the sandbox, as the agent says. Raises what `ask` does."""
    count = ask(link, "running").get("running")
    return count if is_count(count, MOST_RUNNING) else 0


def wait_until_quiet(link: Link, within_s: float) -> bool:
    """Block until no command runs in the sandbox; False when `within_s` was not enough. Raises
    LinkLost."""
    over = gevent.Timeout(within_s)
    try:
        with over:
            ask(link, "quiet", within_s=None)
    except gevent.Timeout as timeout:
        if timeout is not over:
            raise
        return False
    return True
