"""Carries out a client's steps from a script, in the place of a network."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.client.core.retrying import Retrying
from gateway.client.core.steps import Answer, Broken, Pause, Read, Request, Told

NOT_SENT = Broken("refused", may_have_arrived=False)
LOST = Broken("reset", may_have_arrived=True)


@dataclass
class Script:
    """`answers` come one per request or read; an exception is thrown. `now` goes on by pauses."""

    answers: list[Any]
    now: float = 0.0
    requests: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def retrying(self, timeout_s: float = 60.0, *, was_reached: bool = True) -> Retrying:
        made = Retrying(timeout_s, clock=lambda: self.now, jitter=lambda: 0.5)
        made.was_reached = was_reached
        return made

    def call(self, call: Generator[Any, Any, Any]) -> Any:
        """What the call returns."""
        told, result = self._carried_out(call)
        assert told == []
        return result

    def follow(self, story: Generator[Any, Any, Any]) -> list[Any]:
        """What the story tells."""
        return self._carried_out(story)[0]

    def _carried_out(self, steps: Generator[Any, Any, Any]) -> tuple[list[Any], Any]:
        told: list[Any] = []
        answer: Any = None
        while True:
            try:
                step = steps.throw(answer) if isinstance(answer, Broken) else steps.send(answer)
            except StopIteration as end:
                return told, end.value
            answer = None
            if isinstance(step, Told):
                told.append(step.event)
            elif isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
            else:
                if isinstance(step, Request):
                    self.requests.append(step)
                else:
                    assert isinstance(step, Read)
                answer = self.answers.pop(0)


def answered(status: int, found: Any = None, **headers: str) -> Answer:
    """An answer with JSON in it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(found).encode())


def problem(status: int, code: str, **headers: str) -> Answer:
    """An error of the gateway's."""
    return answered(status, {"code": code, "message": code, "status": status}, **headers)


def events(*messages: dict[str, Any]) -> bytes:
    """Messages as a stream of events."""
    return b"".join(_event(message) for message in messages)


def _event(message: dict[str, Any]) -> bytes:
    return f"event: {message['type']}\nid: 0-0\ndata: {json.dumps(message)}\n\n".encode()


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    """The same, cut."""
    return [data[n : n + size] for n in range(0, len(data), size)]
