"""What makes the store grow, what reads all of it, and what stands in the way of other creates."""

from __future__ import annotations

import time
import uuid
from itertools import count
from typing import NoReturn

from ..caller import Caller, command
from .relentless import a_sandbox, at_once, relentlessly

FOLLOWERS = 600
FOLLOWED_S = 60.0
HUGE_MB = 24 * 1024

LABELS = 32
LONGEST_VALUE = 200


def changing_labels(caller: Caller) -> NoReturn:
    """One connection that changes the largest labels all the time."""
    sandbox_id = a_sandbox(caller)
    numbers = count()

    def step() -> None:
        value = f"{next(numbers):0{LONGEST_VALUE}d}"
        labels = {f"label-{number}": value for number in range(LABELS)}
        answer = caller.ask("PATCH", f"/sandboxes/{sandbox_id}", json={"labels": labels})
        answer.raise_for_status()

    relentlessly(step)


def once_rows(caller: Caller) -> NoReturn:
    """A new idempotency key for each of endless commands."""
    sandbox_id = a_sandbox(caller)

    def step() -> None:
        fields = {"once": True, "request_id": uuid.uuid4().hex * 2}
        body = {"command": "true", **fields}
        caller.ask("POST", f"/sandboxes/{sandbox_id}/commands", json=body).raise_for_status()

    relentlessly(step)


def event_loops(caller: Caller) -> NoReturn:
    """Four that read the history all the time."""
    at_once([lambda: caller.ask("GET", "/events?limit=1000")] * 4)


def event_followers(caller: Caller) -> NoReturn:
    """Hundreds that follow all events and read nothing of them."""

    def step() -> None:
        held = []
        try:
            for _ in range(FOLLOWERS):
                held.append(caller.dial())
                held[-1].sendall(caller.head("GET", "/events", "Accept: text/event-stream"))
            time.sleep(FOLLOWED_S)
        finally:
            for connection in held:
                connection.close()

    relentlessly(step)


def huge_creates(caller: Caller) -> NoReturn:
    """Sandboxes with the memory of the whole host, and more of them that wait for room."""

    def step() -> None:
        sandbox_id = caller.create(memory_mb=HUGE_MB)
        time.sleep(20)
        caller.delete(sandbox_id)

    at_once([step] * 6)


def create_and_delete(caller: Caller) -> NoReturn:
    """Sandboxes that come and go, with labels and commands to be remembered for days."""

    def step() -> None:
        sandbox_id = caller.create(labels={"a": "x" * LONGEST_VALUE})
        with_output = command("head -c 100000 /dev/zero | tr '\\0' x")
        caller.ask(
            "POST",
            f"/sandboxes/{sandbox_id}/commands",
            data=with_output,
            headers={"Content-Type": "application/json"},
        )
        caller.delete(sandbox_id)

    relentlessly(step)
