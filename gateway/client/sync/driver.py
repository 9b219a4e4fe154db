"""Carries out the steps of calls, whatever sends the requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core.address import Address
from ..core.retrying import Retrying
from ..core.steps import Broken, Call, Request, Step, Story, Told

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
E = TypeVar("E")

CONNECT_S = 10.0


class Carrier(Protocol):
    """Carries out the steps of one call: at most one streamed answer is open."""

    def carry_out(self, step: Step) -> tuple[Any, Broken | None]:
        """What came of it, or how it broke."""

    def close(self) -> None:
        """Close the answer that is open. May be repeated."""


class Driver(ABC):
    """Sends requests to one gateway. May be used by several threads. Close it."""

    def __init__(self, address: Address, retrying: Retrying) -> None:
        self.address = address
        self.retrying = retrying

    @property
    @abstractmethod
    def http(self) -> httpx2.Client:
        """For WebSockets."""

    @abstractmethod
    def carrier(self) -> Carrier:
        """One for a call."""

    @abstractmethod
    def close(self) -> None:
        """May be repeated."""

    def call(self, call: Call[T]) -> T:
        """What the call returns. Raises what it raises."""
        with closing(self.carrier()) as carrier:
            answer: Any = None
            failure: Broken | None = None
            while True:
                try:
                    step = call.send(answer) if failure is None else call.throw(failure)
                except StopIteration as end:
                    result: T = end.value
                    return result
                answer, failure = carrier.carry_out(step)

    def follow(self, story: Story[E]) -> Generator[E, None, None]:
        """What the story tells. Close it to leave early."""
        with closing(self.carrier()) as carrier, closing(story):
            answer: Any = None
            failure: Broken | None = None
            while True:
                try:
                    step = story.send(answer) if failure is None else story.throw(failure)
                except StopIteration:
                    return
                if isinstance(step, Told):
                    yield step.event
                    answer, failure = None, None
                else:
                    answer, failure = carrier.carry_out(step)


def headers_of(request: Request) -> dict[str, str]:
    """Those of the request, and of its body."""
    body = request.content
    headers = dict(request.headers)
    if request.is_streamed:
        headers.setdefault("Accept-Encoding", "identity")  # its bytes are read as they come
    if body is not None:
        headers["Content-Type"] = body.content_type
        if body.size_bytes is not None:
            headers["Content-Length"] = str(body.size_bytes)
    return headers
